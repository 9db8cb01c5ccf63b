"""What the command line hands to the REPL: models, ways to run a program, and what this machine knows."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mtchat.session.given import RunInputs
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.settings import Limits, Sampling
from mtchat.store import Owned

Hear = Callable[[str, str], None]
RunWhole = Callable[[Program, Limits, Path | None, Hear, RunInputs], Outcome]
Resume = Callable[[Program, Limits, Path | None, Hear, RunInputs, bool], Outcome]


class Model(Protocol):
    """A model that is ready, or is being loaded in the background."""

    name: str

    def begin(self) -> None:
        """Starts to load it, where that has not begun."""

    def stage(self) -> str:
        """What loading is busy with, as "converting 45 %"; "not loaded" after a failure, "" when ready."""

    def ready(self, seconds: float) -> bool:
        """Whether it can be asked, waiting so long at most; raises ModelError when it cannot be loaded."""

    def card(self) -> ModelCard: ...

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]: ...

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """So many replies written together, each piece with the number of its reply."""

    def text(self, prompt: Prompt) -> str:
        """Exactly what the model will see."""

    def count(self, text: str) -> int:
        """The tokens in a text."""


@dataclass(frozen=True)
class Tools:
    """What the command line hands in: how to get a model, how to run a program, and what is there.

    `run` runs a program from its start; `resume` may go on from where an earlier run of the same turns got
    to, and with its last argument looks at the variables. Both copy the program's files to the folder given.
    `tier` says how strong the sandbox is, once `begin` had time to find out, in capitals when there is none;
    `refusal` waits for that and says why nothing can be run, "" when it can. `notice` waits too: what to say
    where programs are held less well than they could be; `warning` is what to say of that at once. `owned`
    knows which files the user attached to which session, `goes_on` the command that opens a session again.
    `earlier` is the model that can be asked in the place of the latest, where that could not be loaded.
    """

    load: Callable[[str], Model]
    run: RunWhole
    resume: Resume
    models: Callable[[], list[tuple[str, str]]]
    begin: Callable[[], None]
    tier: Callable[[], str]
    refusal: Callable[[], str]
    notice: Callable[[], str] = lambda: ""
    warning: str = ""
    owned: Owned = field(default_factory=Owned)
    goes_on: Callable[[Path], str] = lambda path: f"mtchat {shlex.quote(path.stem)}"
    earlier: Callable[[], Model | None] = lambda: None
