"""The contract of a benchmark, and what is told of one conversation about one of its problems."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from mtchat import plugins
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program

SUITES = "mtchat.bench.quality.suites"
MULTI, SINGLE, COMPLETION = "multi", "single", "completion"

Tasks = Sequence["Task"]
Run = Callable[[Program], Outcome]


@dataclass(frozen=True)
class Task:
    """One conversation to hold: what is said, in order, and what is needed to score its program.

    `input` counts the inputs of a problem that has several; `length` is the most tokens of a reply. With
    `prompt` the model goes on with this text itself, up to the first of `stops`, and nobody is spoken to.
    `facts` are the suite's own, as JSON has them.
    """

    problem: str
    input: int
    category: str
    instructions: tuple[str, ...]
    length: int
    preamble: str = ""
    prompt: str = ""
    stops: tuple[str, ...] = ()
    facts: Any = None


@dataclass(frozen=True)
class Score:
    """How a program did. `compatible` is the published script's verdict; `strict` also wants that the
    program ends without an error. `error` is "" where it passes strictly, else "wrong" for a value that is
    not the wanted one, or the name of what stopped it: SyntaxError, NameError, seconds, ...
    """

    compatible: bool
    strict: bool
    error: str = ""


Scoring = Callable[[Task, Sequence[str], Run], Score]


@dataclass(frozen=True)
class Row:
    """One line of a run's results: one sample of one conversation, scored.

    `turns` counts the instructions; `written` tokens were generated for it in all its candidates, in
    `seconds` of wall clock. `tried` counts the candidates and `mended` the turns that a policy changed;
    `certainty` is the mean log-probability of a token of each turn, in nats, and `clock` the seconds of each.
    A simulated user was `asked` so many questions, and `answered` those that had a reading that passes;
    `needless` are those of these where the first reading did.
    """

    problem: str
    input: int
    sample: int
    category: str
    turns: int
    chunks: tuple[str, ...]
    program: str
    prompt_tokens: int = 0
    written: int = 0
    seconds: float = 0.0
    tried: int = 0
    mended: int = 0
    compatible: bool = False
    strict: bool = False
    error: str = ""
    certainty: tuple[float, ...] = ()
    clock: tuple[float, ...] = ()
    asked: int = 0
    answered: int = 0
    needless: int = 0


class Suite(Protocol):
    """What a file of suites/ defines: TITLE is the benchmark's name, MODES what it has, the usual first."""

    TITLE: str
    MODES: tuple[str, ...]

    def tasks(self, data: Path | None, mode: str) -> Sequence[Task]:
        """Every conversation of the benchmark; MtchatError says where the data is to be had."""

    def score(self, task: Task, chunks: Sequence[str], run: Run) -> Score:
        """The verdicts on the chunks that the turns of a task gave; `run` runs a program in the sandbox."""


def load(name: str) -> Suite:
    return cast(Suite, plugins.load(SUITES, name))
