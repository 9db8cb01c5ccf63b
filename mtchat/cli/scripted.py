"""Turns without a terminal: code or program output on stdout, everything else on stderr."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from mtchat.cli.editing import edit, recode
from mtchat.cli.wiring import wait_for
from mtchat.console.captions import describe_time, explain_not_run, one_line, short_path
from mtchat.console.commands import add
from mtchat.console.repeat_filter import RepeatFilter
from mtchat.console.run_hints import hint_in_shell
from mtchat.console.view import View
from mtchat.errors import ExitCode, MtchatError, SandboxError, UsageError
from mtchat.features.checks.evaluate import examined
from mtchat.features.checks.parse import ParsedCheck, stated, typed, unread
from mtchat.features.context.view import fitting
from mtchat.features.correction.apply import refine
from mtchat.features.correction.view import begun, changed, ended, interrupted
from mtchat.features.explain.questions import is_question
from mtchat.features.own_code.detect import is_code, turn_from_code
from mtchat.generate import policy
from mtchat.generate.events import (
    CandidateChosen,
    ContextFitted,
    CorrectionFinished,
    CorrectionStarted,
    Event,
    RepairStarted,
    RunFinished,
    TurnWritten,
)
from mtchat.generate.prompt import family
from mtchat.generate.running import failed, mendable, unended
from mtchat.generate.synthesizer import TurnGenerator
from mtchat.models.loading import LoadingModel
from mtchat.session.escape import escaped
from mtchat.session.given import RunInputs
from mtchat.session.language import named, unlearned
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.reason import Reason
from mtchat.session.reference import resolved
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Settings
from mtchat.store import Log, Owned, attach, below, checked, files_of, glance

IN_SHELL = "--corrections off takes every instruction as a new step"


@dataclass(frozen=True)
class Script:
    """What to do: instructions in order, whether to print the program's output, whether to mend failures.

    `attached` are files that programs get copies of, beside those of the session. The instruction takes the
    place of that of turn `edit`; 0 adds a turn. It is code for that turn where it is `written`. `language` is
    the one that was asked for, "" for what it is.
    """

    instructions: Sequence[str]
    run: bool
    fix: bool
    family: str
    settings: Settings
    attached: Sequence[Path] = ()
    edit: int = 0
    language: str = ""
    written: bool = False

    def spoken(self, session: Session) -> Session:
        """The session in the language that was asked for; an error where it has turns in another."""
        return session.speak(named(self.language)) if self.language else session


@dataclass(frozen=True)
class Handed:
    """How a program is run, its files copied to a folder; and why nothing can be run, "" when it can.

    `look` runs it too, and tells its variables; its files stay where they are.
    `notice` is what to say first where programs are held less well than they could be.
    """

    run: Callable[[Program, Limits, Path, RunInputs], Outcome]
    look: Callable[[Program, Limits, RunInputs], Outcome]
    refusal: Callable[[], str]
    notice: Callable[[], str] = lambda: ""


class Player:
    """Takes the turns of one script. A write that fails is told, and the script goes on in memory."""

    def __init__(
        self, script: Script, log: Log, model: LoadingModel, sandbox: Handed, view: View, owned: Owned
    ) -> None:
        self.script, self.log, self.sandbox, self.view = script, log, sandbox, view
        self.session, notices = checked(log.session, lambda file: owned.has(log.path, file))
        self.owned = owned
        self.session = attach(script.spoken(self.session), script.attached, script.settings.limits.disk_mib)
        for notice in notices:
            view.note(notice)
        self.retold = RepeatFilter()
        if self.session.outcome is not None:
            self.retold.remember(self.session.program, self.session.outcome, files_of(log.path))
        self.saved = True
        self.live: Session | None = None
        card = model.card()
        name = script.family or family.choose(card)
        spoken = self.session.language
        view.warning(unlearned(card.name, spoken))
        run = self.run if spoken.runs and not sandbox.refusal() else None
        chosen = policy.for_language(script.settings.policy, spoken)
        self.generator = TurnGenerator(
            family.load(name, spoken),
            model.complete,
            run,
            card,
            name,
            self.watch,
            policy.with_candidates(chosen, script.settings.n),
            model.candidates,
            self.look if run else None,
            count=lambda prompt: model.count(model.text(prompt)),
            files=glance(self.session.attached),
        )

    def run(self, program: Program) -> Outcome:
        given = RunInputs(files=self.session.attached)
        outcome = self.sandbox.run(program, self.script.settings.limits, files_of(self.log.path), given)
        return examined(program, outcome, self.probe)

    def look(self, program: Program) -> Outcome:
        return examined(program, self.probe(program), self.probe)

    def probe(self, program: Program) -> Outcome:
        return self.sandbox.look(program, self.script.settings.limits, RunInputs(files=self.session.attached))

    def watch(self, event: Event) -> None:
        """Saves each turn before it is run; one line on stderr for what is made, run or mended."""
        match event:
            case ContextFitted(numbers):
                self.view.note(fitting(numbers))
            case TurnWritten(session, turn):
                if not turn.replaces:
                    self.save(session)
                self.view.note(describe_time(turn.usage) or "the model wrote no code")
            case CandidateChosen(session, turn, outcome, count):
                self.save(session)
                self.view.note(f"the best of {count} candidates is another")
                self.view.verdict(outcome, hint_in_shell(outcome, self.script.settings))
            case RepairStarted(round, rounds, number, _):
                self.view.note(f"mending turn {number}, round {round} of {rounds}")
            case CorrectionStarted():
                self.view.note(begun(event))
            case CorrectionFinished(_, changes):
                self.view.changes(changes)
            case RunFinished(outcome, _):
                self.view.verdict(outcome, hint_in_shell(outcome, self.script.settings))
                if outcome.note:
                    self.view.note(outcome.note)
                self.view.warning(self.retold.changed(self.session.program, outcome))
                self.retold.remember(self.session.program, outcome, files_of(self.log.path))

    def save(self, made: Session) -> None:
        """Saves what was made: as the live program, or beside one that stays live for now."""
        self.keep(self.live.beside(made) if self.live else made, "turn")

    def keep(self, session: Session, why: str) -> None:
        self.session = session
        try:
            self.log.write(session, why)
            self.saved = True
            self.owned.add(self.log.path, below(session, self.script.attached))
        except MtchatError as error:
            self.view.error(str(error))
            self.saved = False

    def turn(self, instruction: str) -> bool:
        """One turn, mended where that was asked for; False when the user stopped it."""
        if self.script.edit:
            change = recode if self.script.written else edit
            return change(self, self.script.edit, instruction)
        self.view.heading(f"{len(self.session.path) + 1}› {instruction}")
        before = self.session
        word, *rest = instruction.split(maxsplit=1)
        if word == "/add" or is_code(instruction, before):
            return self.add("".join(rest) if word == "/add" else instruction)
        if before.language.runs and (claim := claimed(instruction, before)):
            return self.check(claim)
        if before.language.runs and (why := unread(instruction, before)):
            self.view.error(why)
            return True
        new = word == "/next" and bool(rest)
        if is_question(instruction):
            way = f"/next {one_line(instruction, 40)} takes it as a step"
            self.view.note(f"a question adds nothing to the program; {way}")
            return True
        said = resolved(rest[0] if new else instruction, before)
        step = partial(refine, self.generator) if self.corrects and not new else self.generator.take
        made = step(before, said.text, self.script.settings.sampling, typed=said.typed)
        if made is before:
            return False
        self.keep(made, "turn")
        if changed(before, made):
            self.view.note(ended(before, made, IN_SHELL))
        if interrupted(before, made) or stopped(made.outcome):
            return False
        return self.mended()

    def add(self, code: str) -> bool:
        """A turn with code that the user wrote, as it is; False when the user stopped its run."""
        turn = turn_from_code(add.given(code), self.session)
        self.keep(self.session.add(turn), "turn")
        self.keep(self.generator.tried(self.session), "turn")
        return not stopped(self.session.outcome) and self.mended()

    @property
    def corrects(self) -> bool:
        """Whether instructions are looked at for corrections, which are told by the names in Python code."""
        return self.script.settings.corrections and self.session.language.runs

    def mended(self) -> bool:
        """Mends the program where that was asked for and is needed; False when the user stopped it."""
        if not self.script.fix or not mendable(self.session.outcome):
            return True
        fixed = self.generator.fix(self.session, self.script.settings.sampling)
        self.keep(fixed.session, "fix")
        self.view.line(f"fix ended after round {fixed.rounds}: {fixed.reason}")
        return fixed.reason != "interrupted"

    def check(self, claim: ParsedCheck) -> bool:
        """Keeps a check with its turn, and looks at it where the program has run."""
        session, turn = self.session, self.session.numbered(claim.turn).id
        mark = session.mark(turn)
        if claim.code not in mark.checks:
            session = session.with_mark(turn, replace(mark, checks=(*mark.checks, claim.code)))
        if session.outcome is not None and not unended(session.outcome):
            outcome = examined(session.program, session.outcome, self.probe)
            session = session.with_outcome(outcome)
            self.view.findings(outcome)
        self.keep(session, "check")
        return self.mended()


def play(
    script: Script, log: Log, model: LoadingModel, sandbox: Handed, view: View, owned: Owned | None = None
) -> ExitCode:
    """Takes every turn, saving each; an interrupt ends it with what is there saved."""
    session = script.spoken(log.session)
    if not session.language.runs:
        if script.run or script.fix:
            raise UsageError(f"nothing can be run or mended: {explain_not_run(session, shell=True)}")
        view.note(explain_not_run(session, shell=True))
    elif sandbox.refusal():
        if script.run or script.fix:
            raise SandboxError(f"nothing can be run here: {sandbox.refusal()}")
        view.note(f"programs are not run: {sandbox.refusal()}")
    if session.language.runs:
        view.warning(sandbox.notice())
    wait_for(model, view)
    player = Player(script, log, model, sandbox, view, owned or Owned())
    for number, instruction in enumerate(script.instructions, start=1):
        if not player.turn(instruction):
            view.line(f"interrupted; {len(script.instructions) - number} instructions were not taken")
            return ExitCode.INTERRUPTED
    code = finish(script, player)
    if player.saved:
        view.note(f"saved as {short_path(log.path)}")
    return code if player.saved else ExitCode.FAILED


def finish(script: Script, player: Player) -> ExitCode:
    """Prints the program, or what it prints."""
    if not script.run:
        write(sys.stdout, player.session.program.source)
        outcome = player.session.outcome
        failing = (script.fix and failed(outcome)) or (outcome is not None and bool(outcome.broken))
        return ExitCode.FAILED if failing else ExitCode.DONE
    if unended(player.session.outcome):
        player.keep(player.generator.tried(player.session), "run")
    outcome = player.session.outcome
    if outcome is None:
        raise MtchatError("there is no program to run: no instruction was given")
    return report(outcome, player.view, files_of(player.log.path), hint_in_shell(outcome, script.settings))


def report(outcome: Outcome, view: View, place: Path, hint: str) -> ExitCode:
    write(sys.stdout, outcome.stdout)
    if outcome.stderr or outcome.traceback:
        view.line((outcome.stderr + outcome.traceback).rstrip("\n"))
    view.verdict(outcome, hint)
    view.files(outcome, short_path(place))
    if outcome.reason is Reason.SANDBOX:
        return ExitCode.SANDBOX
    if stopped(outcome):
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if outcome.right else ExitCode.FAILED


def write(out: TextIO, text: str) -> None:
    """Text of a model or a program: as it is into a file or pipe, escaped on a terminal."""
    out.write(escaped(text) if out.isatty() else text)
    out.flush()


def claimed(instruction: str, session: Session) -> ParsedCheck | None:
    """The check in an instruction, in words or after /check; None where it is for the model."""
    word, *rest = instruction.split(maxsplit=1)
    return typed(rest[0] if rest else "", session) if word == "/check" else stated(instruction, session)


def stopped(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.stopped
