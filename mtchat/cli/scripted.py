"""Turns and commands without a terminal: the program or its output on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtchat.cli.output import write
from mtchat.cli.wiring import wait_for
from mtchat.console import slash
from mtchat.console.captions import describe_time, explain_not_run, short_path
from mtchat.console.commands.turns import read_code
from mtchat.console.console import Console, Host, Leave
from mtchat.console.run_hints import hint_in_shell
from mtchat.console.turn_view import TurnView
from mtchat.console.view import View
from mtchat.conversation import editing
from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import BackgroundModel, Runner
from mtchat.errors import ExitCode, MtchatError, SandboxError, UsageError
from mtchat.features.context.view import folded_note
from mtchat.features.correction.view import (
    describe_choice,
    describe_effect,
    describe_later_turn,
    was_corrected,
    was_interrupted,
)
from mtchat.features.own_code.user_code import is_code
from mtchat.features.regenerate.view import report_changes, show_step
from mtchat.features.understand.commands import respond
from mtchat.generate.events import (
    CandidateChosen,
    ContextFitted,
    CorrectionCompared,
    CorrectionFinished,
    CorrectionStarted,
    Event,
    LaterTurnChanged,
    NamesReplaced,
    RepairStarted,
    RunFinished,
    TurnWritten,
)
from mtchat.generate.execute import failed, is_repairable
from mtchat.session.hole import first_hole
from mtchat.session.language import parse_language
from mtchat.session.names import describe_users
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.session import Session
from mtchat.session.settings import OFF, Settings
from mtchat.session.text import quantity
from mtchat.store import Log, OwnedFiles


@dataclass(frozen=True)
class Script:
    """What to do: instructions and commands in order, whether to print the program's output or to repair it.

    `attached` are files that programs get copies of, beside those of the session. The instruction takes the
    place of that of turn `edit`; 0 adds a turn. It is the code of that turn if `as_code`. `language` is
    the one that was asked for, "" for the session's own.
    """

    instructions: Sequence[str]
    run: bool
    fix: bool
    family: str
    settings: Settings
    attached: Sequence[Path] = ()
    edit: int = 0
    language: str = ""
    as_code: bool = False

    def session_in_language(self, session: Session) -> Session:
        """The session in the language that was asked for; an error where it has turns in another."""
        return session.with_language(parse_language(self.language)) if self.language else session


class ScriptConsole(Console):
    """Shows a line for each thing that happens, and asks nobody: candidates are chosen by the majority."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.host = replace(self.host, warning="")
        self.writing = TurnView(self.view)
        self.questions.can_choose = self.has_keys = False
        self.edit_line, self.edit_code = refuse_to_ask, refuse_to_edit
        self.show = self.show_event

    def show_turns(self, base: Session | None = None, **options: Any) -> TurnView:
        self.writing = super().show_turns(base, **options)
        self.show = self.show_event
        return self.writing

    def hint(self, outcome: Outcome, stdin: Path | None = None) -> str:
        return hint_in_shell(outcome, self.chat.settings)

    def finish(self, before: Session) -> None:
        if was_corrected(before, self.session):
            self.tell_result(before)

    def show_event(self, event: Event) -> None:
        """One line for what is written, run or repaired."""
        match event:
            case ContextFitted(numbers):
                self.view.note(folded_note(numbers))
            case TurnWritten(_, turn):
                if note := describe_time(turn.usage) or (
                    "" if turn.chunk.strip() else "the model wrote no code"
                ):
                    self.view.note(note)
            case CandidateChosen(_, turn, _, count) if turn.corrects:
                self.view.note(describe_choice(count))
            case CandidateChosen(_, _, outcome, count):
                self.view.note(f"another of the {count} candidates is better")
                self.view.verdict(outcome, self.hint(outcome))
            case RepairStarted(round, rounds, number, _):
                self.view.note(f"fixing turn {number}, attempt {round} of {rounds}")
            case CorrectionStarted():
                self.writing(event)
            case LaterTurnChanged():
                self.view.note(describe_later_turn(event))
            case CorrectionFinished(_, changes):
                self.view.changes(changes)
            case CorrectionCompared():
                for line in describe_effect(event):
                    self.view.note(line)
            case NamesReplaced(_, names):
                for name in names:
                    self.view.warning(name.sentence)
            case RunFinished(outcome, _):
                self.view.verdict(outcome, self.hint(outcome))
                if outcome.note:
                    self.view.note(outcome.note)
                self.view.warning(self.remove_repeats(self.live.program, outcome)[1])


def refuse_to_ask(label: str, text: str) -> str:
    """What would be asked in a terminal has to be said beforehand."""
    raise UsageError("this command asks for input, which needs a terminal; give everything on its line")


def refuse_to_edit(code: str, suffix: str) -> str:
    raise UsageError(
        "this opens an editor, which needs a terminal; mtchat SESSION --code N FILE takes code from a file"
    )


def run_script(
    script: Script,
    log: Log,
    model: BackgroundModel,
    sandbox: Runner,
    view: View,
    owned: OwnedFiles | None = None,
    host: Host | None = None,
    folder: Path | None = None,
) -> ExitCode:
    """Takes every turn and does every command, saving each; an interrupt ends it with what is there saved."""
    settings, session = script.settings, script.session_in_language(log.session)
    if not session.language.runs:
        if script.run or script.fix:
            raise UsageError(f"nothing can be run or repaired: {explain_not_run(session, shell=True)}")
        view.note(explain_not_run(session, shell=True))
    elif sandbox.unavailable_reason():
        if script.run or script.fix:
            raise SandboxError(f"programs cannot run here: {sandbox.unavailable_reason()}")
        view.note(f"programs are not run: {sandbox.unavailable_reason()}")
        settings = replace(settings, run=OFF)
    chat = Conversation(model, sandbox, log=log, settings=settings, family=script.family, owned=owned)
    console = ScriptConsole(chat, folder or log.path.parent, view, host or Host(lambda name: model))
    if session.language.runs:
        chat.warn_about_sandbox()
    if not all(map(slash.is_command, script.instructions)):  # few commands need a model
        wait_for(model, view)
    if script.language:
        console.set_language(script.language)
    chat.attach(script.attached, save=False)
    for notice in chat.notices:
        view.note(notice)
    for number, instruction in enumerate(script.instructions, start=1):
        try:
            going = take_step(console, script, instruction)
        except Leave:
            break
        except MtchatError:
            if left := len(script.instructions) - number:
                view.line(f"{quantity(left, 'instruction')} after this one will not be sent")
            raise
        if not going:
            view.line(f"interrupted; {len(script.instructions) - number} instructions were not sent")
            return ExitCode.INTERRUPTED
    code = print_result(script, console)
    if not chat.unsaved:
        view.note(f"saved as {short_path(console.log.path)}")
    return ExitCode.FAILED if chat.unsaved else code


def take_step(console: ScriptConsole, script: Script, text: str) -> bool:
    """One instruction or command, the program repaired where that was asked for; False if it was stopped."""
    chat, view, before = console.chat, console.view, console.session
    if script.edit:
        return edit_turn(console, script.edit, text, script.as_code)
    console.show_turns()
    view.heading(f"{len(before.path) + 1}› {text}")
    word, *rest = text.split(maxsplit=1)
    new = word == "/next" and bool(rest)
    if word == "/add" or is_code(text, before):
        chat.add(read_code("".join(rest)) if word == "/add" else text)
        return not was_stopped(chat.outcome) and repair_if_asked(console, script)
    if slash.is_command(text) and not new:
        going = do_command(console, text)
        return going and (word != "/check" or repair_if_asked(console, script))
    try:
        done = console.take(rest[0]) if new else respond(console, text)
    except KeyboardInterrupt:
        return False
    if not done:
        return False
    if was_interrupted(before, console.session) or was_stopped(chat.outcome):
        return False
    return repair_if_asked(console, script)


def do_command(console: ScriptConsole, text: str) -> bool:
    """A slash command; False if it was stopped."""
    try:
        slash.do(console, text[1:])
    except KeyboardInterrupt:
        return False
    return True


def edit_turn(console: ScriptConsole, number: int, text: str, as_code: bool) -> bool:
    """Turn `number` with another instruction, or with this code if `as_code`, then the later ones."""
    chat, view, old = console.chat, console.view, console.session
    if uses := describe_users(old.path, number):
        view.note(f"{uses} from turn {number}")
    dry_run = chat.dry_run if old.language.runs and not chat.sandbox.unavailable_reason() else None
    editor = editing.TurnEditor(chat, on_step=lambda step, base: show_step(view, step), dry_run=dry_run)
    try:
        if as_code:
            code, filler = text, ""
            if first_hole(text):
                code, filler = editing.fill_turn(chat, number, text), chat.model.card().name
                view.diff(text, code)
            done = editor.recode(number, code, filler)
        else:
            view.heading(f"{number}› {text}")
            done = editor.reword(number, text)
    except KeyboardInterrupt:
        return False
    if was_stopped(done.after.outcome):
        return False
    if done.later:
        report_changes(view, old, done.after, done.same, done.later)
    view.note(f"the previous program is branch {done.branch}")
    return True


def repair_if_asked(console: ScriptConsole, script: Script) -> bool:
    """Repairs the program where that was asked for and is needed; False if the user stopped it."""
    if not script.fix or not is_repairable(console.chat.outcome):
        return True
    fixed = console.chat.fix()
    console.view.line(f"fix ended after round {fixed.rounds}: {fixed.reason}")
    return fixed.reason != "interrupted"


def print_result(script: Script, console: ScriptConsole) -> ExitCode:
    """Prints the program, or what it prints."""
    chat = console.chat
    if not script.run:
        write(sys.stdout, chat.session.program.source)
        outcome = chat.outcome
        failing = (script.fix and failed(outcome)) or (outcome is not None and bool(outcome.failed_checks))
        return ExitCode.FAILED if failing else ExitCode.DONE
    if not chat.has_run:
        console.show_turns()
        chat.keep(chat.run_session(chat.session), "run")
    if chat.outcome is None:
        raise MtchatError("there is no program to run: no instruction was given")
    return print_run(chat.outcome, console)


def print_run(outcome: Outcome, console: ScriptConsole) -> ExitCode:
    view = console.view
    write(sys.stdout, outcome.stdout)
    if outcome.stderr or outcome.traceback:
        view.line((outcome.stderr + outcome.traceback).rstrip("\n"))
    view.verdict(outcome, console.hint(outcome))
    view.files(outcome, short_path(console.files_folder))
    if outcome.reason is Reason.SANDBOX:
        return ExitCode.SANDBOX
    if was_stopped(outcome):
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if outcome.succeeded else ExitCode.FAILED


def was_stopped(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.stopped
