"""The desk: what the commands of the REPL act on. It owns the live session and saves each change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO

from mtchat.console.approval import Approval, follow
from mtchat.console.asking import Answer, asking, offered, picked
from mtchat.console.captions import explain_not_run, short_path
from mtchat.console.keyboard import Keyboard, kept, reads
from mtchat.console.remedy import in_repl, next_step
from mtchat.console.retold import Retold
from mtchat.console.tools import Hear, Model, Tools
from mtchat.console.view import Tail, View
from mtchat.console.writing import Writing
from mtchat.errors import ModelError, MtchatError, SandboxError
from mtchat.features.checks.evaluate import examined
from mtchat.features.context.view import turn_number
from mtchat.features.correction.apply import correct, refine
from mtchat.features.correction.detect import Correction
from mtchat.features.correction.view import changed, ended
from mtchat.features.explain.quiz import Lesson
from mtchat.generate import policy
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    Event,
    EventHandler,
    TurnWritten,
    ignore,
)
from mtchat.generate.prompt import family
from mtchat.generate.running import Run, tried, unended, wrong
from mtchat.generate.synthesizer import Fixed, TurnGenerator
from mtchat.session import language
from mtchat.session.given import RunInputs
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.reference import Said, resolved
from mtchat.session.session import Session
from mtchat.session.settings import ASK, OFF, ON, Sampling, Settings
from mtchat.session.turn import Turn
from mtchat.store import Log, below, checked, files_of, glance, present

TRIAL_SECONDS = 10.0

__all__ = ["Desk", "Hear", "Leave", "Model", "Tools"]


class Leave(Exception):  # noqa: N818 - not an error: the user wants to go
    """The user leaves the REPL."""


@dataclass
class Desk:
    """One REPL's state. `session` is replaced, never changed; `keep` makes another one live and saves it.

    `ask` gives a text back as the user edited it, `answer` what they reply to a question, None after Ctrl-C;
    it is None where nobody can be asked. What they typed there that is no reply is done `later`, or is `held`
    for them to change where they stop what comes before. `unsaved` says why turns are in memory alone.
    """

    log: Log
    folder: Path
    model: Model
    tools: Tools
    view: View
    ask: Callable[[str, str], str] = lambda label, text: text
    answer: Answer | None = None
    settings: Settings = field(default_factory=Settings)
    chosen_family: str = ""
    unsaved: str = ""
    warned: str = ""
    announced: bool = False
    noted: Model | None = None
    unlearned: str = ""
    later: str = ""
    held: str = ""
    last: Outcome | None = None
    typed: IO[bytes] | None = None
    lesson: Lesson | None = None
    approval: Approval = field(init=False)
    session: Session = field(init=False)
    notices: tuple[str, ...] = field(init=False)
    retold: Retold = field(init=False)

    def __post_init__(self) -> None:
        self.approval = Approval(self.view)
        self.take_up()

    def take_up(self) -> None:
        """Makes what the session's file holds the live session."""
        self.session, notices = checked(
            self.log.session, lambda file: self.tools.owned.has(self.log.path, file)
        )
        self.notices = (*self.log.notices, *notices)
        self.retold = Retold()
        if self.session.outcome is not None:
            self.retold.remember(self.session.program, self.session.outcome, self.place)
        self.speak(self.session.language.name)

    def speak(self, name: str) -> None:
        """The language of the session from now on; an error where it has turns in another."""
        session = self.session.speak(language.named(name))
        self.settings = replace(self.settings, language=session.language.name)
        self.view.language = session.language
        if session != self.session:
            self.keep(session, "language")

    def own(self, files: Sequence[Path]) -> None:
        """Keeps that the user attached these files to this session."""
        self.tools.owned.add(self.log.path, below(self.session, files))

    def begin(self) -> None:
        """Starts what takes its time and need not be waited for."""
        self.tools.begin()
        self.model.begin()

    @property
    def place(self) -> Path:
        """Where the files that runs leave are copied: a folder beside the session's file."""
        return files_of(self.log.path)

    def keep(self, session: Session, why: str = "") -> None:
        """Makes a session the live one and saves what is new in it; it is live even when that fails."""
        self.session = session
        told = len(self.log.notices)
        try:
            self.log.write(session, why)
            self.unsaved = ""
        except MtchatError as error:
            self.unsaved = str(error)
            self.view.error(self.unsaved)
        for notice in self.log.notices[told:]:
            self.view.note(notice)
        self.session = replace(session, name=self.log.name)

    def take(self, instruction: str, new: bool = False) -> None:
        """What an instruction asks for: a turn or, unless that is to be `new`, a change of earlier ones."""
        self.approval.reset()
        before, said = self.session, self.resolved(instruction)
        generator = self.generator(before.program.source)
        step = partial(refine, generator) if self.corrects and not new else generator.take
        self.finish(before, step(before, said.text, self.settings.sampling, typed=said.typed), "turn")
        grown = self.session.path[:-1] == before.path and bool(self.session.path)
        if self.settings.n > 1 and grown and not unended(self.session.outcome):
            self.compare(self.settings.n - 1)

    def add(self, turn: Turn) -> None:
        """A turn with code that the user wrote, run as any other; no model is asked for it."""
        self.approval.reset()
        before = self.session
        made = before.add(turn)
        self.keep(made, "turn")
        self.finish(before, tried(made, self.runner(), self.watcher(before.program.source)), "turn")

    @property
    def corrects(self) -> bool:
        """Whether instructions are looked at for corrections, which are told by the names in Python code."""
        return self.settings.corrections and self.session.language.runs

    @property
    def looks(self) -> bool:
        """Whether programs are run unasked, as far as the user, the language and the machine let them."""
        return self.settings.run == ON and self.session.language.runs and not self.tools.refusal()

    def correct(self, correction: Correction) -> None:
        """A change of earlier turns."""
        self.approval.reset()
        before = self.session
        made = correct(self.generator(before.program.source), before, correction, self.settings.sampling)
        self.finish(before, made, "correction")

    def compare(self, count: int) -> None:
        """Draws so many other tries for the last turn, shows what they do, and lets the user choose."""
        if not self.session.language.runs:
            raise MtchatError("tries are compared by running them: " + explain_not_run(self.session))
        if not self.freely:
            self.view.note("others are run to be compared, and run is ask; /set run on allows that")
            return
        session = self.session
        generator = self.generator(session.undo().program.source)
        quiet = replace(generator, on_event=ignore, complete=self.model.complete)
        with self.view.waiting(lambda: f"trying {count} others"):
            spread = quiet.spread(session, self.settings.sampling, count)
        self.keep(spread.session, "retry")
        found, live = spread.readings, session.path[-1]
        if len(found) < 2:
            self.view.note(f"all {count + 1} tries do the same")
            return
        offered(self.view, found, live.chunk)
        place = picked(self, self.answer, found) if self.answer else None
        if place is None or found[place].candidate.turn.chunk == live.chunk:
            self.view.note("the live one stays; /pick K takes another later")
            return
        self.keep(self.session.undo().add(found[place].candidate.turn), "pick")
        self.view.note(f"now it is number {place + 1}; /pick shows the others")

    def hold_back(self) -> None:
        """What was to be done later is not done unasked: the next prompt begins with it."""
        if self.later:
            self.held, self.later = self.later, ""

    def resolved(self, instruction: str) -> Said:
        """An instruction with what it refers to in its place."""
        return resolved(instruction, self.session, self.last)

    def finish(self, before: Session, session: Session, why: str) -> None:
        """Keeps a session that may have a new turn, and says what can be done next."""
        self.view.erase()  # what was weighed and changed nothing
        if session is before:
            self.view.note(
                "stopped before anything was written; nothing is changed, so you can type another instruction"
            )
            return
        self.keep(session, why)
        if follow(self, before):
            return
        if changed(before, session):
            self.view.note(ended(before, session))
        elif session.outcome is not None and wrong(session.outcome):
            self.view.note(next_step(session.outcome, len(session.path)))

    def fix(self, rounds: int) -> Fixed:
        """Mends the failing turn. Whatever ends it, the tries are kept and the live program is the best."""
        if self.tools.refusal():
            raise SandboxError(self.tools.refusal())
        run = self.asked if self.settings.run == ASK else self.run
        generator = replace(self.generator(self.session.program.source), run=run)
        fixed = generator.fix(self.session, self.settings.sampling, rounds)
        self.approval.reset()
        self.keep(fixed.session, "fix")
        return fixed

    def generator(self, before: str = "") -> TurnGenerator:
        """What makes turns, once the model is ready; what it does is shown as it does it."""
        self.await_model()
        card = self.model.card()
        name = self.chosen_family or family.choose(card)
        run = self.runner()
        freely = run is not None and self.freely
        spoken = self.session.language
        chosen = policy.for_language(self.settings.policy, spoken)
        self.warn(language.unlearned(card.name, spoken))
        return TurnGenerator(
            family.load(name, spoken),
            self.complete,
            run,
            card,
            name,
            self.watcher(before),
            chosen if freely else chosen.quiet,
            self.model.candidates,
            self.trial if freely else None,
            asking(self) if freely else None,
            count=lambda prompt: self.model.count(self.model.text(prompt)),
            files=glance(present(self.session)),
        )

    def warn(self, unlearned: str) -> None:
        """Says once that a model does not know the language."""
        if unlearned != self.unlearned:
            self.view.warning(unlearned)
        self.unlearned = unlearned

    def runner(self) -> Run | None:
        """How turns are run; None when the user, the machine or the language does not let them."""
        if self.settings.run == OFF or not self.session.language.runs:
            return None
        if self.tools.refusal():
            self.view.error(f"programs are not run: {self.tools.refusal()}; mtchat doctor says more")
            return None
        self.announce()
        return self.asked if self.settings.run == ASK else self.run

    @property
    def freely(self) -> bool:
        """Whether programs may run that the user has not seen."""
        return self.settings.run != ASK

    def announce(self) -> None:
        """Says before the first run that programs are held less well than they could be."""
        if not self.announced and self.tools.notice() != self.tools.warning:
            self.view.warning(self.tools.notice())
        self.announced = True

    def watcher(self, before: str) -> EventHandler:
        """Shows what happens, and has each turn on disk before it is run.

        A turn that is to mend or correct another is saved beside it: whether it becomes the live one is not
        known yet.
        """
        ahead = int(bool(self.session.preamble.strip()))
        live = self.session

        def news(outcome: Outcome) -> tuple[Outcome, str]:
            return self.told(live.program, outcome)

        show = Writing(self.view, before, short_path(self.place), self.hint, ahead=ahead, news=news)

        def watch(event: Event) -> None:
            nonlocal live
            if isinstance(event, TurnWritten | CandidateChosen | AttemptsExhausted):
                live = event.session
            if isinstance(event, TurnWritten | CandidateChosen):
                made = event.session
                if event.turn.replaces:
                    made = self.session.beside(made)
                self.keep(made, "turn")
            show(event)

        return watch

    def told(self, program: Program, outcome: Outcome) -> tuple[Outcome, str]:
        """An outcome that is shown now: what is new in it, and what is not as it was shown before."""
        news = self.retold.news(program, outcome, self.place)
        changed = self.retold.changed(program, outcome)
        self.retold.remember(program, outcome, self.place)
        return news, changed

    def await_model(self) -> None:
        try:
            with self.view.waiting(lambda: self.model.stage() or f"loading {self.model.name}"):
                while not self.model.ready(0.1):
                    pass
        except ModelError as error:
            earlier = self.tools.earlier()
            if earlier is None:
                raise ModelError(f"{error}\n/model NAME goes on with another") from error
            self.view.error(str(error))
            self.view.note(f"{earlier.name} goes on; /model NAME takes another")
            self.model = earlier
        if self.noted is not self.model:
            self.noted = self.model
            for note in self.model.card().notes:
                self.view.note(note)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The model's pieces, with a moving line until it begins to write."""
        stream = self.model.complete(prompt, sampling)
        with self.view.waiting(lambda: "reading"):
            first = next((piece for piece in stream if piece.text or piece.usage.finish), None)
        if first is not None:
            yield first
            yield from stream

    def run(self, program: Program) -> Outcome:
        """The program after a change; the last line it prints follows the moving line."""
        self.last = examined(program, self.resume(program, self.place), self.probe)
        return self.last

    def asked(self, program: Program) -> Outcome:
        """The program after a change, where the user lets it run."""
        self.approval.approve()
        if self.approval.always:
            self.approval.always, self.settings = False, replace(self.settings, run=ON)
        return self.run(program)

    def probe(self, program: Program, given: RunInputs | None = None) -> Outcome:
        """A program that looks at the checks of another: nothing of it is shown or kept."""
        given = given or RunInputs(files=present(self.session))
        with self.view.waiting(lambda: "checking"):
            return self.heard(self.tools.resume(program, self.settings.limits, None, Tail(), given, False))

    def trial(self, program: Program) -> Outcome:
        """A program that is tried out, with its variables: nothing of it is shown or kept."""
        limits = replace(self.settings.limits, seconds=min(self.settings.seconds, TRIAL_SECONDS))
        outcome = self.heard(self.tools.resume(program, limits, None, Tail(), self.given(), True))
        return examined(program, outcome, self.probe)

    def look(self) -> Outcome:
        """The live program with its variables; what it writes stays where it is."""
        if self.tools.refusal():
            raise SandboxError(self.tools.refusal())
        self.announce()
        return self.resume(self.session.program, None, look=True)

    def resume(self, program: Program, place: Path | None, look: bool = False) -> Outcome:
        given, tail = self.given(), Tail()
        with self.view.waiting(lambda: "running", lambda: tail.line):
            return self.heard(self.tools.resume(program, self.settings.limits, place, tail, given, look))

    def heard(self, outcome: Outcome) -> Outcome:
        """An outcome; a run that was stopped has had the Ctrl-C to itself."""
        if outcome.stopped:
            self.hold_back()
        return outcome

    def run_aloud(
        self, arguments: tuple[str, ...] = (), stdin: Path | None = None, board: Keyboard | None = None
    ) -> Outcome:
        """The whole program from the start, its output shown as it comes.

        What it did is recorded where nothing was given to it that the next run will not have. What is typed
        at the keyboard is given to later runs again.
        """
        self.announce()
        given, limits = self.given(arguments, stdin), self.settings.limits
        live = replace(given, stdin=board.path, live=True) if board else given
        self.last = self.tools.run(self.session.program, limits, self.place, self.view.hearing(), live)
        if board is not None:
            self.typed = kept(bytes(board.typed)) if board.typed else None
            given = self.given(arguments)
        self.last = examined(self.session.program, self.last, lambda part: self.probe(part, given))
        if not arguments and stdin is None:
            self.keep(self.session.with_outcome(self.last), "run")
        return self.last

    def given(self, arguments: tuple[str, ...] = (), stdin: Path | None = None) -> RunInputs:
        """What a run gets; says which of the attached files are gone."""
        if stdin is None and self.typed is not None and reads(self.session.program.source, None):
            stdin = Path(self.typed.name)
        files = present(self.session)
        for file in self.session.attached:
            if file not in files:
                self.view.warning(
                    f"{short_path(Path(file.path))} is gone: the program runs without {file.name}"
                )
        return RunInputs(arguments, stdin, files)

    def hint(self, outcome: Outcome, stdin: Path | None = None) -> str:
        """What the user can do about how a run ended that had this file as its keyboard."""
        return in_repl(outcome, self.settings, short_path(stdin) if stdin else "")

    def number(self, text: str) -> int:
        """A turn's number as typed; the last turn when nothing is typed."""
        return turn_number(self.session, text)

    def reopen(self, log: Log) -> None:
        """Another session's file in place of this one; an error where turns of this one would be lost."""
        if self.unsaved:
            log.close()
            raise MtchatError(
                f"{self.session.name} has turns that are not saved; /save tries again, "
                "and /save with a whole path, such as /tmp/mine, saves it there"
            )
        self.log.close()
        self.log, self.last = log, None
        self.take_up()
        for notice in self.notices:
            self.view.note(notice)
