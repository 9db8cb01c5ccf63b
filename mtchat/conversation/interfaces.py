"""What a conversation is handed: a model, a sandbox, somebody to ask, and a way to show that it is busy."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from mtchat.generate.interpretations import Clarification, Interpretation
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.settings import Limits, Sampling

OnOutput = Callable[[str, str], None]
Label = Callable[[], str]
Waiting = Callable[[Label, Label], AbstractContextManager[None]]


@runtime_checkable
class BackgroundModel(Protocol):
    """A model that may still load in the background; whoever asks it waits until it is ready."""

    name: str

    def begin(self) -> None:
        """Starts to load the model unless that has begun."""

    def stage(self) -> str:
        """The step of loading, such as "converting 45 %"; "not loaded" after a failure, "" once ready."""

    def ready(self, seconds: float) -> bool:
        """Whether it can be asked, after waiting at most this long; ModelError if it cannot be loaded."""

    def card(self) -> ModelCard: ...

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]: ...

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """`count` completions generated as one batch; each piece comes with the number of its completion."""

    def text(self, prompt: Prompt) -> str:
        """Exactly what the model will see."""

    def count(self, text: str) -> int:
        """The number of tokens in a text."""


class Runner(Protocol):
    """Runs programs. The files that a run leaves are copied to a folder, unless that is None."""

    def run(
        self,
        program: Program,
        limits: Limits,
        collect: Path | None,
        on_output: OnOutput,
        inputs: RunInputs,
        /,
    ) -> Outcome:
        """A run from the first line; `on_output` gets each piece of output with the name of its stream."""

    def resume(
        self,
        program: Program,
        limits: Limits,
        collect: Path | None,
        on_output: OnOutput,
        inputs: RunInputs,
        with_variables: bool,
        /,
    ) -> Outcome:
        """As `run`, from the latest checkpoint that fits; the outcome has the variables if asked for."""

    def unavailable_reason(self) -> str:
        """Why nothing can be run here; "" if programs can be run."""

    def close(self) -> None:
        """Ends what is kept alive between runs."""

    def warning(self) -> str:
        """A warning that programs are confined less strictly than they could be; "" if there is none."""


class Questions(Protocol):
    """Somebody who can be asked."""

    @property
    def declined(self) -> bool:
        """Whether the last answer to `approve` was no."""

    @property
    def can_choose(self) -> bool:
        """Whether candidates are shown to be chosen from; if not, the majority decides."""

    def approve(self) -> None:
        """Returns if the program may run, and raises Declined if it may not."""

    def clarification(self) -> Clarification | None:
        """How to ask what an instruction means; None if nobody wants to be asked."""

    def choose(self, found: Sequence[Interpretation], live: str) -> int | None:
        """The place, from 0, of the candidate to keep; None keeps the live one, whose code is `live`."""
