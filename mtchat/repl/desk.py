"""The desk: what the commands of the REPL act on. It owns the live session and saves each change."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mtchat.core.outcome import Outcome
from mtchat.core.program import Program
from mtchat.core.prompt import ModelCard, Piece, Prompt
from mtchat.core.session import Session
from mtchat.core.settings import Limits, Sampling, Settings
from mtchat.errors import MtchatError
from mtchat.prompting import family
from mtchat.repl.view import View, cost, shown
from mtchat.repl.writing import Writing
from mtchat.store import Log
from mtchat.synthesis import Event, Fixed, Made, Synthesizer, Watch


class Leave(Exception):  # noqa: N818 - not an error: the user wants to go
    """The user leaves the REPL."""


class Model(Protocol):
    """A model that is ready, or is being loaded in the background."""

    name: str

    def begin(self) -> None:
        """Starts to load it, where that has not begun."""

    def stage(self) -> str:
        """What loading is busy with, as "converting 45 %"; "" once the model is ready or has failed."""

    def ready(self, seconds: float) -> bool:
        """Whether it can be asked, waiting so long at most; raises ModelError when it cannot be loaded."""

    def card(self) -> ModelCard: ...

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]: ...

    def text(self, prompt: Prompt) -> str:
        """Exactly what the model will see."""

    def count(self, text: str) -> int:
        """The tokens in a text."""


Hear = Callable[[str, str], None]


@dataclass(frozen=True)
class Tools:
    """What the command line hands in: how to get a model, how to run a program, and what is there."""

    load: Callable[[str], Model]
    run: Callable[[Program, Limits, Path, Hear], Outcome]
    models: Callable[[], list[tuple[str, str]]]
    tier: Callable[[], str]
    refusal: Callable[[], str]


@dataclass
class Desk:
    """One REPL's state. `session` is replaced, never changed; `keep` saves what is new in it."""

    log: Log
    folder: Path
    model: Model
    tools: Tools
    view: View
    ask: Callable[[str, str], str] = lambda label, text: text
    settings: Settings = field(default_factory=Settings)
    chosen_family: str = ""
    state: str = "idle"
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = self.log.session

    @property
    def place(self) -> Path:
        """Where the files that runs leave are copied: a folder beside the session's file."""
        return self.log.path.with_suffix(".files")

    def keep(self, session: Session, why: str = "") -> Session:
        """Makes a session the live one and saves what is new in it; it is live even when that fails."""
        self.session, self.state = session, verdict(session.outcome)
        self.log.write(session, why)
        return session

    def take(self, instruction: str) -> None:
        """One turn of the conversation."""
        maker = self.maker(self.session.program.source)
        before = self.session
        made = maker.take(before, instruction, self.settings.sampling)
        if made is before:
            self.view.note("stopped before anything was written; the session is as it was")
            return
        self.finish(made, "turn")

    def finish(self, session: Session, why: str) -> None:
        """Keeps a session that has a new turn, and says what the turn cost and what can be done next."""
        self.keep(session, why)
        text = cost(session.path[-1].usage) if session.path else ""
        if text:
            self.view.note(text)
        if session.outcome is not None and not session.outcome.ok and session.outcome.error:
            self.view.note("/fix asks the model to mend it")

    def fix(self, rounds: int) -> Fixed:
        fixed = self.maker(self.session.program.source).fix(self.session, self.settings.sampling, rounds)
        self.keep(fixed.session, "fix")
        return fixed

    def maker(self, before: str = "") -> Synthesizer:
        """What makes turns, once the model is ready; what it does is shown as it does it."""
        self.await_model()
        card = self.model.card()
        name = self.chosen_family or family.choose(card)
        run = self.run if self.settings.run and not self.tools.refusal() else None
        return Synthesizer(family.load(name), self.complete, run, card, name, self.watcher(before))

    def hand(self) -> Synthesizer:
        """For changes the user makes by hand, which need no model."""
        run = self.run if self.settings.run and not self.tools.refusal() else None
        return Synthesizer(family.load("codegen"), self.model.complete, run, watch=self.watcher(""))

    def watcher(self, before: str) -> Watch:
        """Shows what happens, and has each turn on disk before it is run."""
        show = Writing(self.view, before, shown(self.place))

        def watch(event: Event) -> None:
            if isinstance(event, Made):
                self.log.write(event.session, "turn")
            show(event)

        return watch

    def await_model(self) -> None:
        with self.view.waiting(lambda: self.model.stage() or f"loading {self.model.name}"):
            while not self.model.ready(0.1):
                pass

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The model's pieces, with a moving line until the first of them is there."""
        self.state = "writing"
        stream = self.model.complete(prompt, sampling)
        try:
            with self.view.waiting(lambda: "reading"):
                first = next(stream, None)
            if first is not None:
                yield first
                yield from stream
        finally:
            self.state = "idle"

    def run(self, program: Program) -> Outcome:
        self.state = "running"
        with self.view.waiting(lambda: "running"):
            return self.tools.run(program, self.settings.limits, self.place, unheard)

    def run_aloud(self) -> Outcome:
        """The whole program from the start, its output shown as it comes."""
        self.state = "running"
        outcome = self.tools.run(self.session.program, self.settings.limits, self.place, self.view.hear)
        self.keep(self.session.with_outcome(outcome), "run")
        return outcome

    def number(self, text: str) -> int:
        """A turn's number as typed; the last turn when nothing is typed."""
        if not text.strip():
            if not self.session.path:
                raise MtchatError("the program has no turns yet; type an instruction")
            return len(self.session.path)
        if not text.strip().isdigit():
            raise MtchatError(f"{text.strip()!r} is not the number of a turn")
        number = int(text)
        self.session.numbered(number)
        return number

    def reopen(self, log: Log) -> None:
        """Another session's file in place of this one."""
        self.log.close()
        self.log, self.session = log, log.session
        self.state = verdict(self.session.outcome)


def unheard(stream: str, text: str) -> None:
    """For runs whose output is shown when they end."""


def verdict(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not run"
    return "ok" if outcome.ok else "failed"
