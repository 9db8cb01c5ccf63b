"""Repairs a program: asks the model to fix the turn that fails, and keeps the version that gets furthest."""

from dataclasses import dataclass

from mtchat.errors import MtchatError
from mtchat.generate.complete import warmer
from mtchat.generate.events import RepairStarted
from mtchat.generate.execute import LONGEST_REPORT, error_report, excused, never_ended
from mtchat.generate.judge.regressions import broken_turns, changed_turns
from mtchat.generate.judge.requirements import does_less
from mtchat.generate.turn import TurnGenerator
from mtchat.session.names import bound_names, list_turn_numbers, parses
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, CheckResult
from mtchat.session.provenance import Repair, Rework
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import INTERRUPTED


@dataclass(frozen=True)
class FixResult:
    """How a repair ended: the best session found, the rounds it took, and why it stopped."""

    session: Session
    rounds: int
    reason: str


@dataclass(frozen=True)
class RepairRound:
    """One round of a repair: its number, of how many, and the turn that the model is asked to repair."""

    number: int
    rounds: int
    turn: int


def fix(
    generator: TurnGenerator, session: Session, sampling: Sampling, rounds: int = 3, *, last: bool = False
) -> FixResult:
    """Ask the model to repair the turn that fails, at most `rounds` times; keep the best program.

    That turn is the one with the failing line and, if repairing it does not help, the one that calls it; or
    the first turn with a failed check. With `last` no turn before the last is changed. A repair ends early
    when the model writes the same code again.

    The repaired chunk takes the failing one's place on a branch beside it; later turns keep their code. A
    round that does not get the program further, or that gives up names or output of the turn it repairs, is
    discarded: the program is never worse than before. One that breaks what other turns print, or their
    checks, is kept only if no other round gets as far.
    """
    if generator.run is None:
        raise MtchatError("nothing can be repaired because programs are not run here")
    if never_ended(session.outcome):
        session = generator.execute(session)
    if session.outcome is None or never_ended(session.outcome):
        raise MtchatError("the program has not finished a run yet, so there is nothing to fix; /run runs it")
    if session.outcome.succeeded:
        raise MtchatError("nothing to fix: the program runs without an error; /edit N TEXT changes a turn")
    if session.outcome.turn == PREAMBLE:
        raise MtchatError(f"only turns can be fixed, and the preamble fails: {session.outcome.error}")
    if excused(session.outcome):
        raise MtchatError(f"different code would not help: {session.outcome.error}")
    best, same, spare = session, 0, session  # `spare` gets further than any, but breaks other turns
    for number in range(1, rounds + 1):
        assert best.outcome is not None
        places = (len(best.path),) if last else suspects(best.outcome) or (len(best.path),)
        place = places[(number - 1) % len(places)]
        known = {turn.chunk for turn in best.turns}
        attempt, ended = repair_once(generator, best, sampling, RepairRound(number, rounds, place))
        best = best.with_alternatives(attempt)
        if not ended:
            return better_result(session, best, spare, number, "interrupted")
        if attempt.turn_at(place).chunk in known:
            same += 1
            if same == len(places) + 1 or number == rounds:
                again = f"the model writes the same code for turn {place} again"
                return better_result(session, best, spare, number, again)
            continue
        if excused(attempt.outcome):
            return better_result(
                session, best, spare, number, "the remaining error is not a fault of the code"
            )
        if is_better(attempt, best):
            if not broken_turns(session, attempt, changed_turns(session, attempt)):
                best = attempt
            elif progress_of(attempt) > progress_of(spare):
                spare = attempt
        if best.outcome is not None and best.outcome.succeeded:
            checks = ", and all checks pass" if best.outcome.check_results else ""
            return FixResult(best, number, f"the program runs{checks}")
    return better_result(session, best, spare, rounds, f"still failing after {rounds} rounds")


def better_result(before: Session, best: Session, spare: Session, rounds: int, reason: str) -> FixResult:
    """The result with the best program, or with the spare one if only that gets further."""
    if progress_of(spare) <= progress_of(best):
        return FixResult(best, rounds, reason)
    broken = broken_turns(before, spare, changed_turns(before, spare))
    how = "the program runs" if spare.outcome is not None and spare.outcome.succeeded else reason
    changed = f"{how}, but not as before: look at {list_turn_numbers(broken)}"
    return FixResult(spare.with_alternatives(best), rounds, changed)


def repair_once(
    generator: TurnGenerator, session: Session, sampling: Sampling, step: RepairRound
) -> tuple[Session, bool]:
    """The session after one round, with the turn written again and run, and whether that run finished."""
    outcome = session.outcome
    assert outcome is not None
    failing = session.turn_at(step.turn)
    generator.on_event(RepairStarted(step.number, step.rounds, step.turn, outcome.error))
    earlier = sum(
        isinstance(each.provenance, Repair | Rework) and each.replaces == failing.id
        for each in session.children(failing.parent)
    )
    request = generator.request_again(
        session,
        step.turn,
        failing.instruction,
        Repair(of=failing.id, error=repair_request(outcome)),
        warmer(sampling, earlier) if earlier else sampling,
        typed=failing.typed,
    )
    made = generator.make(request)
    if made is request.base or made.turn_at(step.turn).status == INTERRUPTED:
        return made, False
    run = generator.execute(made)
    return run, not never_ended(run.outcome)


def suspects(outcome: Outcome) -> tuple[int, ...]:
    """The turns that may be at fault, the likeliest first: that of the failing line, then its callers."""
    if failed_check := first_failed_check(outcome):
        return (failed_check.turn,) if failed_check.turn else ()
    if not outcome.frames:
        return (outcome.turn,) if outcome.turn else ()
    turns = [frame.place.turn for frame in reversed(outcome.frames)]
    return tuple(dict.fromkeys(turn for turn in turns if turn > PREAMBLE))


def repair_request(outcome: Outcome) -> str:
    """The text that shows the model what is wrong: the error, or the checks of the turn that fail."""
    failed_check = first_failed_check(outcome)
    if failed_check is None:
        return error_report(outcome)
    wishes = [
        f"after this step, {each.requirement}"
        for each in outcome.failed_checks
        if each.turn == failed_check.turn
    ]
    return "\n".join(wishes)[:LONGEST_REPORT]


def first_failed_check(outcome: Outcome) -> CheckResult | None:
    """The first check that fails; checks are evaluated only for turns that the program reaches."""
    return outcome.failed_checks[0] if outcome.failed_checks else None


@dataclass(frozen=True, order=True)
class ProgramProgress:
    """How far a program gets: whether it is right, else the turn where it first goes wrong, and how far in.

    `ran`: this turn ran to its end, but checks of it fail; `line` is then the number of its checks that
    pass, and otherwise the line that fails.
    """

    right: bool = False
    turn: int = 0
    ran: bool = False
    line: int = 0


def progress_of(session: Session) -> ProgramProgress:
    """How far the program of a session gets, by its last outcome."""
    outcome = session.outcome
    if outcome is None:
        return ProgramProgress()
    if failed_check := first_failed_check(outcome):
        passing = sum(
            each.turn == failed_check.turn and each.passed is True for each in outcome.check_results
        )
        return ProgramProgress(False, failed_check.turn, True, passing)
    if outcome.ok or not outcome.frames:
        reached = session.program.chunks[: len(outcome.outputs)]
        return ProgramProgress(outcome.ok, reached[-1].turn if reached else 0)
    place = outcome.frames[0].place
    return ProgramProgress(False, place.turn, False, place.line)


def is_better(attempt: Session, than: Session) -> bool:
    """Whether a repaired program is better: it gets further, and its turns still do what they did."""
    return keeps_behaviour(attempt, than) and progress_of(attempt) > progress_of(than)


def keeps_behaviour(attempt: Session, than: Session) -> bool:
    """Whether each turn still binds the names it bound, prints where it printed, and does no less."""
    for place, (old, new) in enumerate(zip(than.path, attempt.path, strict=True)):
        if old.chunk == new.chunk:
            continue
        before = attempt.undo(len(attempt.path) - place).program.source
        if does_less(new.chunk, old.chunk, old.instruction, before):
            return False
        if not parses(new.chunk) or not bound_names(old.chunk) <= bound_names(new.chunk):
            return False
        if "print(" in old.chunk and "print(" not in new.chunk:
            return False
    return True
