"""Checks of the live program: kept with their turn, evaluated at once, removed again."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from mtchat.conversation.live import LiveSession
from mtchat.errors import ModelError, SandboxError, UsageError
from mtchat.features.checks.drawing import MOST_TOKENS, CheckWriter
from mtchat.features.checks.evaluate import evaluate_checks
from mtchat.features.checks.parse import ParsedCheck, WordedCheck, parse_check, program_until
from mtchat.features.checks.propose import propose_check
from mtchat.generate.execute import never_ended
from mtchat.session.outcome import Outcome
from mtchat.session.program import Check, CheckResult
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.session import Session
from mtchat.session.settings import ON, Sampling

TRIED = "a check in words is tried on the program's values"
HOW = "write it in Python: /check EXPRESSION, for example /check len(names) == 3"


def read_check(live: LiveSession, text: str) -> ParsedCheck:
    """What a text says must hold, as Python: as it was typed, or as the model puts words.

    UsageError says why a text gives no check.
    """
    parsed = parse_check(text, live.session)
    return parsed if isinstance(parsed, ParsedCheck) else word_check(live, parsed)


def word_check(live: LiveSession, worded: WordedCheck) -> ParsedCheck:
    """A check in words as Python, which the model proposes and the live state tests."""
    if why := untestable_reason(live):
        raise UsageError(f"{TRIED}, but {why}; {HOW}")
    live.await_model()
    program, card = program_until(live.session, worded.turn), live.model.card()

    def fits(prompt: Prompt) -> bool:
        return live.count(prompt) + MOST_TOKENS <= card.context

    try:
        state = live.dry_run(program)
        if not state.ok:
            raise UsageError(
                f"a check in words is tried on the program's values, but {stop_of(state)}; {HOW}"
            )
        writer = CheckWriter(partial(draw_checks, live), card.chat, fits)
        found = propose_check(worded.text, program, state.variables, writer, live.probe)
    except (SandboxError, ModelError) as error:
        raise UsageError(f"no check was found for these words: {error}; {HOW}") from error
    if not found.code:
        raise UsageError(f"no check was found for these words: {found.reason}; {HOW}")
    return ParsedCheck(worded.turn, found.code, worded=True)


def stop_of(outcome: Outcome) -> str:
    """Why a program did not run to its end."""
    why = outcome.error or outcome.limit
    return "the program fails" + (f": {why}" if why else "")


def draw_checks(
    live: LiveSession, prompt: Prompt, sampling: Sampling, count: int
) -> Iterator[tuple[int, Piece]]:
    """Completions of the live model, which are shown as waiting; of several, those that it can give.

    A model that completes one prompt at a time has no say beyond its greedy reply.
    """
    with live.waiting(lambda: "writing the check", str):
        if count == 1:
            for piece in live.interruptible(live.model.complete(prompt, sampling)):
                yield 0, piece
            return
        with suppress(ModelError):
            for each in live.model.candidates(prompt, sampling, count):
                live.stop_if_asked()
                yield each


def untestable_reason(live: LiveSession) -> str:
    """Why nothing can be tried on the state of the program; "" if it can."""
    if not live.session.language.runs:
        return "only Python programs run"
    if live.settings.run != ON:
        return f"run is {live.settings.run} (/set run on changes that)"
    return live.sandbox.unavailable_reason()


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


def evaluate_unknown(live: LiveSession) -> None:
    """Evaluates the checks if one has no result yet, as after a step back to before it was added."""
    if any(each.passed is None for each in check_results(live.session)):
        reevaluate(live)


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
