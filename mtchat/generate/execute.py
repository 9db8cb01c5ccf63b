"""Runs the program of a session, carries later turns over, and classifies outcomes."""

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
    """The session with the outcome of its program; unchanged if it cannot or may not run."""
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
    """The session with later turns carried over to its new branch, together with their options.

    Code that the user wrote stays marked as the user's.
    """
    for turn in rest:
        status = EDITED if turn.status == EDITED else KEPT
        own = Fill(by=turn.provenance.by) if isinstance(turn.provenance, Fill) else BY_HAND
        again = replace(turn, status=status, provenance=own, usage=Usage())
        session = session.extend((again,)).inherit_options(turn.id)
    return session


def failed(outcome: Outcome | None) -> bool:
    """Whether the program ended by itself, with an error."""
    return outcome is not None and not outcome.ok and not never_ended(outcome)


def excused(outcome: Outcome | None) -> bool:
    """Whether a program failed because something outside it is missing, such as a file."""
    return failed(outcome) and outcome is not None and bool(outcome.missing)


def is_wrong(outcome: Outcome | None) -> bool:
    """Whether the program fails or one of its checks does."""
    return failed(outcome) or (outcome is not None and bool(outcome.failed_checks))


def is_repairable(outcome: Outcome | None) -> bool:
    """Whether the program is wrong and other code could help."""
    return is_wrong(outcome) and not excused(outcome)


def never_ended(outcome: Outcome | None) -> bool:
    """Whether the program has no run that it ended itself, with or without an error."""
    return outcome is None or outcome.reason in (Reason.INTERRUPTED, Reason.SANDBOX)


def error_report(outcome: Outcome | None) -> str:
    """The error of a failing program as the model sees it: the failing line and the exception.

    "" if the program runs or was stopped by the user.
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
