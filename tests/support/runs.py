"""A console whose runs end with given outcomes."""

from pathlib import Path

from mtchat.console.console import Console
from mtchat.conversation.interfaces import OnOutput
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.settings import Limits
from tests.support.consoles import console_in


class Runs:
    """Gives its outcomes in order, the last one for ever, and keeps what each run was given."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes) or [Outcome("fake")]
        self.given: list[RunInputs] = []
        self.looks: list[bool] = []

    def __call__(
        self,
        program: Program,
        limits: Limits,
        place: Path | None,
        on_output: OnOutput,
        given: RunInputs,
        look: bool = False,
    ) -> Outcome:
        self.given.append(given)
        self.looks.append(look)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


def begun(folder: Path, *outcomes: Outcome) -> tuple[Console, Runs]:
    """A console with one turn, which has been run."""
    runs = Runs(*outcomes)
    console = console_in(folder, runs=runs)
    dispatch(console, "define x")
    return console, runs
