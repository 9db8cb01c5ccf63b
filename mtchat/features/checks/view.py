"""Checks at the desk: kept with their turn, looked at at once, told in words."""

from dataclasses import replace

from mtchat.console.desk import Desk
from mtchat.features.checks.evaluate import examined
from mtchat.features.checks.parse import ParsedCheck
from mtchat.generate.running import unended
from mtchat.session.claim import Check, CheckResult
from mtchat.session.session import Session
from mtchat.session.settings import ON


def keep_check(desk: Desk, stated: ParsedCheck) -> None:
    """Lays a check down about a turn, and tells whether it holds now."""
    turn = desk.session.numbered(stated.turn).id
    mark = desk.session.mark(turn)
    if stated.code in mark.checks:
        desk.view.note("that check is kept already")
    else:
        kept = desk.session.with_mark(turn, replace(mark, checks=(*mark.checks, stated.code)))
        desk.keep(kept, "check")
    refresh_checks(desk)
    finding = next(
        each for each in check_results(desk.session) if (each.turn, each.code) == (stated.turn, stated.code)
    )
    desk.view.finding(finding)
    if finding.passed is False:
        desk.view.note("/fix asks the model to mend it; /check lists the checks, and /check -d N removes one")
    elif finding.passed:
        desk.view.note("it is looked at again with each run of the program; /check lists the checks")


def remove_check(desk: Desk, number: int) -> None:
    """Takes back the check of this number among those of the live path."""
    claim = desk.session.claims[number - 1]
    turn = desk.session.numbered(claim.turn).id
    mark = desk.session.mark(turn)
    left = tuple(each for each in mark.checks if each != claim.code)
    session = desk.session.with_mark(turn, replace(mark, checks=left))
    if session.outcome is not None:
        gone = (claim.turn, claim.code)
        there = tuple(each for each in session.outcome.findings if (each.turn, each.code) != gone)
        session = session.with_outcome(replace(session.outcome, findings=there))
    desk.keep(session, "check")
    desk.view.say(f"removed: {told(claim)}")


def refresh_checks(desk: Desk) -> None:
    """Looks at the checks of the live program anew, where that was run and may be."""
    session = desk.session
    if desk.settings.run != ON or session.outcome is None or unended(session.outcome):
        return
    if desk.tools.refusal():
        return
    outcome = examined(session.program, session.outcome, desk.probe)
    if outcome != session.outcome:
        desk.keep(session.with_outcome(outcome), "check")


def check_results(session: Session) -> tuple[CheckResult, ...]:
    """What is known of each check of the live path, in their order."""
    outcome = session.outcome
    known = {(each.turn, each.code): each for each in (outcome.findings if outcome else ())}
    return tuple(known.get((each.turn, each.code), unseen(each)) for each in session.claims)


def unseen(claim: Check) -> CheckResult:
    return CheckResult(claim.turn, claim.code, None, "the program has not run since; /run runs it")


def told(claim: Check) -> str:
    return CheckResult(claim.turn, claim.code).told
