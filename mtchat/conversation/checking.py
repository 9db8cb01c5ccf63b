"""Checks of the live program: kept with their turn, evaluated at once, removed again."""

from dataclasses import replace

from mtchat.conversation.live import LiveSession
from mtchat.features.checks.evaluate import evaluate_checks
from mtchat.features.checks.parse import ParsedCheck
from mtchat.generate.execute import never_ended
from mtchat.session.program import Check, CheckResult
from mtchat.session.session import Session
from mtchat.session.settings import ON


def add_check(live: LiveSession, parsed: ParsedCheck) -> CheckResult:
    """Keeps a check with its turn, and says whether it holds now."""
    turn = live.session.turn_at(parsed.turn).id
    options = live.session.options_of(turn)
    if parsed.code not in options.checks:
        checks = (*options.checks, parsed.code)
        live.keep(live.session.with_options(turn, replace(options, checks=checks)), "check")
    reevaluate(live)
    return next(
        each for each in check_results(live.session) if (each.turn, each.code) == (parsed.turn, parsed.code)
    )


def is_kept(session: Session, parsed: ParsedCheck) -> bool:
    return parsed.code in session.options_of(session.turn_at(parsed.turn).id).checks


def remove_check(live: LiveSession, number: int) -> CheckResult:
    """Removes the check of this number among those of the live path."""
    check = live.session.checks[number - 1]
    turn = live.session.turn_at(check.turn).id
    options = live.session.options_of(turn)
    left = tuple(each for each in options.checks if each != check.code)
    session = live.session.with_options(turn, replace(options, checks=left))
    if session.outcome is not None:
        gone = (check.turn, check.code)
        there = tuple(each for each in session.outcome.check_results if (each.turn, each.code) != gone)
        session = session.with_outcome(replace(session.outcome, check_results=there))
    live.keep(session, "check")
    return CheckResult(check.turn, check.code)


def reevaluate(live: LiveSession) -> None:
    """Evaluates the checks of the live program again if that has run, and may run."""
    session = live.session
    if live.settings.run != ON or session.outcome is None or never_ended(session.outcome):
        return
    if live.sandbox.unavailable_reason():
        return
    outcome = evaluate_checks(session.program, session.outcome, live.probe)
    if outcome != session.outcome:
        live.keep(session.with_outcome(outcome), "check")


def check_results(session: Session) -> tuple[CheckResult, ...]:
    """What is known of each check of the live path, in their order."""
    outcome = session.outcome
    known = {(each.turn, each.code): each for each in (outcome.check_results if outcome else ())}
    return tuple(known.get((each.turn, each.code), unknown_result(each)) for each in session.checks)


def unknown_result(check: Check) -> CheckResult:
    return CheckResult(check.turn, check.code, None, "the program has not run since; /run runs it")
