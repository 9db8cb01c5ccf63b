"""Turns without a terminal: code or program output on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtchat.cli.loading import Loading
from mtchat.cli.wiring import sandboxed
from mtchat.core.outcome import Outcome
from mtchat.core.program import Program
from mtchat.core.settings import Settings
from mtchat.core.turn import INTERRUPTED
from mtchat.errors import ExitCode, MtchatError
from mtchat.prompting import family
from mtchat.repl.view import View, cost, shown
from mtchat.store import Log
from mtchat.synthesis import Event, Made, Mending, Ran, Synthesizer


@dataclass(frozen=True)
class Script:
    """What to do: instructions in order, whether to print the program's output, whether to mend failures."""

    instructions: Sequence[str]
    run: bool
    fix: bool
    family: str
    settings: Settings


def play(script: Script, log: Log, model: Loading, view: View) -> ExitCode:
    """Takes every turn, saving each; an interrupt ends it with what is there saved."""
    while not model.ready(0.5):
        view.transient(f"{model.name}: {model.stage()}")
    view.erase()
    maker = synthesizer(script, model, log.path.with_suffix(".files"), view)
    for number, instruction in enumerate(script.instructions, start=1):
        view.heading(f"{len(log.session.path) + 1}› {instruction}")
        before = log.session
        made = maker.take(before, instruction, script.settings.sampling)
        log.write(made, "turn")
        if made is before or made.path[-1].status == INTERRUPTED:
            left = len(script.instructions) - number
            view.line(f"interrupted; {left} instructions were not taken; saved as {shown(log.path)}")
            return ExitCode.INTERRUPTED
        view.note(cost(made.path[-1].usage))
        if script.fix and failed(made.outcome):
            fixed = maker.fix(made, script.settings.sampling)
            log.write(fixed.session, "fix")
            view.line(f"fix ended after round {fixed.rounds}: {fixed.reason}")
    view.note(f"saved as {shown(log.path)}")
    return finish(script, maker, log, view)


def finish(script: Script, maker: Synthesizer, log: Log, view: View) -> ExitCode:
    """Prints the program, or what it prints."""
    session = log.session
    if not script.run:
        sys.stdout.write(session.program.source)
        sys.stdout.flush()
        return ExitCode.FAILED if script.fix and failed(session.outcome) else ExitCode.DONE
    if session.outcome is None:
        session = maker.tried(session)
        log.write(session, "run")
    outcome = session.outcome
    if outcome is None:
        raise MtchatError("there is no program to run: no instruction was given")
    return report(outcome, view, log.path.with_suffix(".files"))


def report(outcome: Outcome, view: View, place: Path) -> ExitCode:
    sys.stdout.write(outcome.stdout)
    sys.stdout.flush()
    if outcome.stderr or outcome.traceback:
        view.line((outcome.stderr + outcome.traceback).rstrip("\n"))
    view.verdict(outcome)
    view.files(outcome, shown(place))
    if outcome.limit == "sandbox":
        return ExitCode.SANDBOX
    if outcome.limit == "interrupted":
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if outcome.ok else ExitCode.FAILED


def synthesizer(script: Script, model: Loading, place: Path, view: View) -> Synthesizer:
    card = model.card()
    name = script.family or family.choose(card)

    def run(program: Program) -> Outcome:
        return sandboxed(program, script.settings.limits, place, None)

    return Synthesizer(family.load(name), model.complete, run, card, name, lambda event: watch(event, view))


def watch(event: Event, view: View) -> None:
    """Progress for whoever reads stderr: one line for each turn made, run or mended."""
    match event:
        case Made() if not event.turn.chunk:
            view.line("the model wrote no code")
        case Mending(round, rounds, number, _):
            view.note(f"mending turn {number}, round {round} of {rounds}")
        case Ran(outcome, _):
            view.verdict(outcome)


def failed(outcome: Outcome | None) -> bool:
    return outcome is not None and not outcome.ok and outcome.limit not in ("interrupted", "sandbox")
