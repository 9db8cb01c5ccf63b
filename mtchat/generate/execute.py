"""Runs what a session has become, and says how far its program gets."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mtchat.errors import SandboxError
from mtchat.generate.events import EventHandler, RunFinished, RunStarted, ignore
from mtchat.generate.requirements import does_less
from mtchat.session.claim import CheckResult
from mtchat.session.names import bound, parses
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, Program
from mtchat.session.prompt import Usage
from mtchat.session.provenance import BY_HAND, Fill
from mtchat.session.reason import Reason
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


def is_better(attempt: Session, than: Session) -> bool:
    """Whether a mended program is better: it gets further, and its turns still do what they did."""
    return keeps_behaviour(attempt, than) and progress_of(attempt) > progress_of(than)


@dataclass(frozen=True, order=True)
class ProgramProgress:
    """How far a program gets: whether it is right, else the turn where it first goes wrong, and how far in.

    `ran` says that this turn came to its end, and claims about it do not hold; `line` is the line where it
    fails, or the number of the claims that hold.
    """

    right: bool = False
    turn: int = 0
    ran: bool = False
    line: int = 0


def progress_of(session: Session) -> ProgramProgress:
    outcome = session.outcome
    if outcome is None:
        return ProgramProgress()
    if finding := first_failed_check(outcome):
        holding = sum(each.turn == finding.turn and each.passed is True for each in outcome.findings)
        return ProgramProgress(False, finding.turn, True, holding)
    if outcome.ok or not outcome.frames:
        reached = session.program.chunks[: len(outcome.outputs)]
        return ProgramProgress(outcome.ok, reached[-1].turn if reached else 0)
    place = outcome.frames[0].place
    return ProgramProgress(False, place.turn, False, place.line)


def first_failed_check(outcome: Outcome) -> CheckResult | None:
    """The first claim that does not hold; claims are looked at only where the program came to their turn."""
    return outcome.broken[0] if outcome.broken else None


def first_faulty_turn(outcome: Outcome) -> int | None:
    """The turn where a program first goes wrong: about which a claim does not hold, or that fails."""
    finding = first_failed_check(outcome)
    return finding.turn if finding else outcome.turn


def suspects(outcome: Outcome) -> tuple[int, ...]:
    """The turns that may be to blame, the likeliest first: the one that has the failing line, its callers."""
    if first_failed_check(outcome) or not outcome.frames:
        return tuple(filter(None, [first_faulty_turn(outcome)]))
    turns = [frame.place.turn for frame in reversed(outcome.frames)]
    return tuple(dict.fromkeys(turn for turn in turns if turn > PREAMBLE))


def repair_request(outcome: Outcome) -> str:
    """What to tell the model that is to mend a program."""
    finding = first_failed_check(outcome)
    if finding is None:
        return error_report(outcome)
    told = [f"after this step, {each.wish}" for each in outcome.broken if each.turn == finding.turn]
    return "\n".join(told)[:LONGEST_REPORT]


def keeps_behaviour(attempt: Session, than: Session) -> bool:
    """Whether each turn still binds the names it bound, prints where it printed, and does no less."""
    for place, (old, new) in enumerate(zip(than.path, attempt.path, strict=True)):
        if old.chunk == new.chunk:
            continue
        before = attempt.undo(len(attempt.path) - place).program.source
        if does_less(new.chunk, old.chunk, old.instruction, before):
            return False
        if not parses(new.chunk) or not bound(old.chunk) <= bound(new.chunk):
            return False
        if "print(" in old.chunk and "print(" not in new.chunk:
            return False
    return True


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
