"""The console: a conversation on a screen. It shows what happens, and asks where the user has to decide."""

import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtchat.console.captions import describe_position, explain_not_run, short_path
from mtchat.console.editor import edit_text
from mtchat.console.parsing import parse_number
from mtchat.console.questions import UserQuestions
from mtchat.console.repeat_filter import RepeatFilter
from mtchat.console.run_hints import hint_in_repl, next_step
from mtchat.console.terminal import Keyboard
from mtchat.console.turn_view import TurnView
from mtchat.console.view import View
from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import BackgroundModel
from mtchat.errors import ModelError, MtchatError
from mtchat.features.correction.view import describe_result, was_corrected
from mtchat.features.explain.quiz import TutorLesson
from mtchat.features.understand.reading import Kind, Reading
from mtchat.features.understand.view import describe_return, describe_step, way_to_step
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CorrectionFinished,
    Event,
    EventHandler,
    Notice,
    RunStopped,
    TurnWritten,
    ignore,
)
from mtchat.generate.execute import is_wrong, never_ended
from mtchat.generate.interpretations import Clarification, Interpretation
from mtchat.generate.repair import FixResult
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.session import Session
from mtchat.session.settings import ON
from mtchat.store import Log

__all__ = ["Console", "Host", "Leave"]


class Leave(BaseException):
    """The user leaves the REPL."""


@dataclass(frozen=True)
class Host:
    """What the command line knows of this machine.

    `load` gets a model by name, `models` lists those that have one, and `earlier` gives the model that can be
    asked if the latest could not be loaded. `tier` says how strong the sandbox is, in capitals if there is
    none, once `begin` had time to find out; `warning` is what to say of that at once. `reopen_command` gives
    the command that opens a session again.
    """

    load: Callable[[str], BackgroundModel]
    models: Callable[[], list[tuple[str, str]]] = list
    earlier: Callable[[], BackgroundModel | None] = lambda: None
    begin: Callable[[], None] = lambda: None
    tier: Callable[[], str] = lambda: ""
    warning: str = ""
    reopen_command: Callable[[Path], str] = lambda path: f"mtchat {shlex.quote(path.stem)}"


@dataclass
class Console:
    """A conversation with its screen.

    `commands` gives the names of the slash commands, `show` shows what happens, `edit_line` gives a text back
    as the user edited it, and `edit_code` does so in an editor. `next_command` is what the user chose in
    place of a run, and `warned` which loss was announced. `has_keys` says whether keys are pressed at it.
    """

    chat: Conversation
    folder: Path
    view: View
    host: Host
    commands: Callable[[], Collection[str]] = tuple
    edit_line: Callable[[str, str], str] = lambda label, text: text
    edit_code: Callable[[str, str], str] = edit_text
    warned: str = ""
    has_keys: bool = True
    next_command: str = ""
    lesson: TutorLesson | None = None
    show: EventHandler = ignore
    live: Session = field(init=False)
    questions: UserQuestions = field(init=False)
    repeats: RepeatFilter = field(init=False)

    def __post_init__(self) -> None:
        chat = self.chat
        self.questions = UserQuestions(self.view, lambda: chat.settings.ask, commands=self.commands)
        chat.questions, chat.on_event, chat.waiting = self, self.on_event, self.view.waiting
        chat.substitute = self.substitute  # type: ignore[method-assign]
        self.load()

    def load(self) -> None:
        """Shows the conversation's session from now on."""
        session = self.live = self.session
        self.repeats = RepeatFilter()
        if session.outcome is not None:
            self.repeats.remember(session.program, session.outcome, self.files_folder)
        self.view.language = session.language

    def begin(self) -> None:
        """Starts what takes its time and need not be waited for."""
        self.host.begin()
        self.chat.model.begin()

    @property
    def session(self) -> Session:
        """The live session."""
        return self.chat.session

    @property
    def log(self) -> Log:
        if self.chat.log is None:
            raise MtchatError("this conversation exists only in memory; open it with a session file")
        return self.chat.log

    @property
    def files_folder(self) -> Path:
        """The folder beside the session's file where the files that runs leave are copied."""
        return self.chat.files_folder or Path()

    def set_language(self, name: str) -> None:
        """Sets the language of the session; an error if it has turns in another."""
        self.chat.set_language(name)
        self.view.language = self.session.language

    def reopen(self, log: Log) -> None:
        """Continues with another session's file; an error if turns of this one would be lost."""
        self.chat.reopen(log)
        self.load()
        for notice in self.chat.notices:
            self.view.note(notice)

    # What happens, shown

    def on_event(self, event: Event) -> None:
        match event:
            case Notice(text, "error"):
                self.view.error(text)
            case Notice(text, "warning"):
                if text != self.host.warning:  # which was said at the start
                    self.view.warning(text)
            case Notice(text, _):
                self.view.note(text)
            case RunStopped():
                self.questions.hold_back()
            case _:
                if isinstance(event, TurnWritten | CandidateChosen | AttemptsExhausted | CorrectionFinished):
                    self.live = event.session
                self.show(event)

    def show_turns(self, base: Session | None = None, **options: Any) -> TurnView:
        """From now on shows what is made on top of a session, the live one if none is given."""
        self.live = self.session
        base = base or self.live
        preambles = int(bool(base.preamble.strip()))
        options = {
            "remove_repeats": lambda outcome: self.remove_repeats(self.live.program, outcome),
            "thoughts": self.chat.settings.thoughts,
            **options,
        }
        folder = short_path(self.files_folder)
        turn_view = TurnView(
            self.view, base.program.source, folder, self.hint, preambles=preambles, **options
        )
        self.show = turn_view
        return turn_view

    def remove_repeats(self, program: Program, outcome: Outcome) -> tuple[Outcome, str]:
        """An outcome that is shown now: what is new in it, and what is not as it was shown before."""
        new = self.repeats.remove_known(program, outcome, self.files_folder)
        changed = self.repeats.describe_change(program, outcome)
        self.repeats.remember(program, outcome, self.files_folder)
        return new, changed

    def hint(self, outcome: Outcome, stdin: Path | None = None) -> str:
        """What the user can do about how a run ended that had this file as its keyboard."""
        return hint_in_repl(outcome, self.chat.settings, short_path(stdin) if stdin else "")

    def generator(self, base: Session | None = None) -> TurnGenerator:
        """What makes turns on top of a session, shown as they are made."""
        self.show_turns(base)
        return self.chat.generator()

    def substitute(self, error: ModelError) -> BackgroundModel:
        """The earlier model if the latest cannot be loaded."""
        earlier = self.host.earlier()
        if earlier is None:
            raise ModelError(f"{error}\n/model NAME switches to another model") from error
        self.view.error(str(error))
        self.view.note(f"using {earlier.name} instead; /model NAME switches to another model")
        return earlier

    # What the user does

    def take(self, instruction: str) -> bool:
        """The next turn, for an instruction that is known to be one; False if that was stopped."""
        return self.follow(instruction, Reading(Kind.STEP))

    def follow(self, text: str, reading: Reading) -> bool:
        """What a text asks for, read as something that writes code; False if that was stopped."""
        self.prepare(way_out="" if reading.kind is Kind.STEP else way_to_step(self.has_keys))
        before = self.session
        done = self.chat.follow(text, reading)
        self.finish(before)
        now = self.session
        grown = now.path[:-1] == before.path and bool(now.path)
        if self.questions.can_choose and self.chat.settings.n > 1 and grown and not never_ended(now.outcome):
            self.compare(self.chat.settings.n - 1)
        return done

    def read_as(self, kind: Kind, number: int) -> None:
        """Takes the last text for something else; what that made earlier comes back and is named."""
        last, before = self.chat.known_text(), self.session
        known = last.result(kind, number)
        self.prepare(way_out="" if kind is Kind.STEP else way_to_step(self.has_keys))
        self.chat.read_as(kind, number)
        path = self.session.path_to(last.base)
        results = self.chat.last_text.results
        turn = next((turn for each, turn, _ in results if each is Kind.CHANGE and turn), 0)
        if self.session.head == before.head and self.session.turns == before.turns:
            self.view.note(f"nothing changed: that is what the {kind} came to")
        elif known and turn:
            self.view.note(describe_return(kind, turn, path, self.has_keys))
        else:
            self.finish(before)
            if kind is Kind.STEP and turn and self.session.head != before.head:
                self.view.note(describe_step(turn, path, self.has_keys))

    def add(self, code: str) -> None:
        """A turn with code that the user wrote, run as any other; no model is asked for it."""
        self.prepare()
        before = self.session
        self.chat.add(code)
        self.finish(before)

    def correct(self, text: str, number: int = 0) -> None:
        """A change of turn `number`, or of the one that the text is about."""
        self.prepare()
        before = self.session
        self.chat.correct(text, number)
        self.finish(before)

    def retry(self) -> None:
        """The last turn asked for again."""
        self.prepare(self.session.undo())
        before = self.session
        self.chat.retry()
        self.finish(before)

    def compare(self, count: int) -> None:
        """Draws so many other tries for the last turn, shows what they do, and lets the user choose."""
        session = self.session
        if not session.language.runs:
            raise MtchatError("candidates are compared by running them: " + explain_not_run(session))
        if not self.chat.runs_unseen_code:
            self.view.note("Comparing candidates runs them without asking. Use /set run on to allow it.")
            return
        found, live = self.chat.compare(count).interpretations, session.path[-1].chunk
        if len(found) < 2:
            self.view.note(f"all {count + 1} candidates behave identically")
            return
        choice = self.questions.choose(found, live)
        if choice is None or found[choice].candidate.turn.chunk == live:
            self.view.note("Keeping the current candidate. /pick K switches later.")
            return
        self.chat.keep(self.session.undo().add(found[choice].candidate.turn), "pick")
        self.view.note(f"switched to candidate {choice + 1}; /pick shows the others")

    def fix(self, rounds: int) -> FixResult:
        """Repairs the failing turn; the live program is the best one found."""
        self.show_turns()
        fixed = self.chat.fix(rounds)
        self.questions.reset()
        return fixed

    def prepare(self, base: Session | None = None, **options: Any) -> None:
        """Forgets earlier answers, and shows what is made from now on."""
        self.questions.reset()
        self.show_turns(base, **options)

    def finish(self, before: Session) -> None:
        """Says what came of something that may have made a turn, and what can be done next."""
        session = self.session
        self.view.erase()  # what was weighed and changed nothing
        if session is before:
            self.view.note("stopped before any code was written; the program is unchanged")
            return
        if self.questions.declined:
            self.act_on_answer(before)
        elif was_corrected(before, session):
            self.tell_result(before)
        elif session.outcome is not None and is_wrong(session.outcome):
            self.view.note(next_step(session.outcome, len(session.path)))

    def tell_result(self, before: Session) -> None:
        """Says what went wrong with a correction, if anything did."""
        if text := describe_result(before, self.session):
            self.view.note(text)

    def act_on_answer(self, before: Session) -> None:
        """Does, or leaves to be done next, what the user wanted in place of a run."""
        chosen, path = self.questions.chosen, self.session.path
        self.questions.reset()
        number = next((at for at, turn in enumerate(path, start=1) if turn not in before.path), len(path))
        if chosen == "undo":
            self.chat.keep(self.session.move(before.head), "undo")
            self.view.say(describe_position(self.session))
        elif chosen == "edit":
            self.next_command = f"/edit {number}"
        elif chosen == "retry" and number == len(path):
            self.next_command = "/retry"
        else:
            hint = "; only the last turn can be regenerated, /edit changes the others" if chosen else ""
            self.view.note(f"not run; /run runs it{hint}")

    def run_showing_output(
        self, arguments: tuple[str, ...] = (), stdin: Path | None = None, keyboard: Keyboard | None = None
    ) -> Outcome:
        """The whole program from the start, its output shown as it comes.

        What is typed at the keyboard is given to later runs again.
        """
        chat = self.chat
        chat.run_whole(arguments, stdin, self.view.live_output(), keyboard.path if keyboard else None)
        if keyboard is not None:
            chat.replay_typed(bytes(keyboard.typed))
        return chat.record(arguments, stdin)

    def turn_number(self, text: str) -> int:
        """A turn's number as typed; the last turn when nothing is typed."""
        if not self.session.path:
            raise MtchatError("the program has no turns yet; type an instruction")
        if not text.strip():
            return len(self.session.path)
        chosen = parse_number(text, "the number of a turn; /show shows them")
        self.session.turn_at(chosen)
        return chosen

    # Questions of the conversation

    @property
    def declined(self) -> bool:
        return self.questions.declined

    @property
    def can_choose(self) -> bool:
        return self.questions.can_choose

    def clarification(self) -> Clarification | None:
        return self.questions.clarification()

    def choose(self, found: Sequence[Interpretation], live: str) -> int | None:
        return self.questions.choose(found, live)

    def approve(self) -> None:
        """Asks whether the program may run; "auto" sets that programs run without being asked about."""
        self.questions.approve()
        if self.questions.always:
            self.questions.always = False
            self.chat.settings = replace(self.chat.settings, run=ON)
