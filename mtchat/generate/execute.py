"""Runs what a session has become, and says how far its program gets."""

from collections.abc import Callable
from dataclasses import replace

from mtchat.errors import SandboxError
from mtchat.generate.events import EventHandler, RunFinished, RunStarted, ignore
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Program
from mtchat.session.prompt import Usage
from mtchat.session.provenance import BY_HAND, Fill
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, INTERRUPTED, KEPT, Turn

LONGEST_REPORT = 800

RunProgram = Callable[[Program], Outcome]


class Declined(Exception):  # noqa: N818 - not an error: the user does not want the code to run
    """The user does not want the program to run."""


def execute(session: Session, run: RunProgram | None, on_event: EventHandler = ignore) -> Session:
    """The session with the outcome of its live program, where there is a way to run it, and it may run."""
    turn = session.path[-1] if session.path else None
    if run is None or turn is None or turn.status == INTERRUPTED:
        return session
    on_event(RunStarted(len(session.path)))
    try:
        outcome = run(session.program)
    except Declined:
        return session
    except SandboxError as error:
        outcome = Outcome("none", None, reason=Reason.SANDBOX, finished=False, error=str(error))
    on_event(RunFinished(outcome, len(session.path)))
    return session.with_outcome(outcome)


def carry_over(session: Session, rest: tuple[Turn, ...]) -> Session:
    """The session with later turns carried over to its new branch, with what was laid down about them.

    What the user wrote stays the user's.
    """
    for turn in rest:
        status = EDITED if turn.status == EDITED else KEPT
        own = Fill(by=turn.provenance.by) if isinstance(turn.provenance, Fill) else BY_HAND
        again = replace(turn, status=status, provenance=own, usage=Usage())
        session = session.extend((again,)).inherit(turn.id)
    return session


def carry_over_without_code(session: Session, rest: tuple[Turn, ...]) -> Session:
    """As `kept`, without their code, which another turn has."""
    for turn in rest:
        session = carry_over(session, (replace(turn, chunk=""),)).inherit(turn.id)
    return session


def failed(outcome: Outcome | None) -> bool:
    """Whether the program ended by itself, and badly."""
    return outcome is not None and not outcome.ok and not never_ended(outcome)


def excused(outcome: Outcome | None) -> bool:
    """Whether a program failed for what its world kept from it, as a file: its code is not to blame."""
    return failed(outcome) and outcome is not None and bool(outcome.missing)


def is_wrong(outcome: Outcome | None) -> bool:
    """Whether there is something to mend: the program fails, or a claim does not hold."""
    return failed(outcome) or (outcome is not None and bool(outcome.broken))


def is_repairable(outcome: Outcome | None) -> bool:
    """Whether other code could mend what is wrong."""
    return is_wrong(outcome) and not excused(outcome)


def never_ended(outcome: Outcome | None) -> bool:
    """Whether there is no run that the program itself ended, well or badly."""
    return outcome is None or outcome.reason in (Reason.INTERRUPTED, Reason.SANDBOX)


def error_report(outcome: Outcome | None) -> str:
    """What to tell the model about a failing program: the line, and all that the exception says.

    "" when the program runs, or was stopped by choice.
    """
    if outcome is None or not failed(outcome):
        return ""
    lines = outcome.traceback.rstrip("\n").split("\n")
    indented = [number for number, line in enumerate(lines) if line.startswith("  ")]
    message = "\n".join(lines[indented[-1] + 1 :]) if indented else ""
    if not message or not outcome.frames:
        return outcome.error
    frame = outcome.frames[-1]
    return f"turn {frame.place.turn}, line {frame.place.line}: {frame.text}\n{message}"[:LONGEST_REPORT]
