"""Reworks a turn and shows the result."""

from collections.abc import Callable
from dataclasses import replace

from mtchat.console.console import Console
from mtchat.console.view import GREEN, YELLOW
from mtchat.errors import UsageError
from mtchat.features.rework.rework import ReworkResult
from mtchat.generate.execute import failed, is_wrong, never_ended
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome
from mtchat.session.session import Session


def run_rework(
    console: Console, number: int, do: Callable[[TurnGenerator, Session], ReworkResult]
) -> ReworkResult:
    """Asks for a turn again and runs it; rejected code is kept as a branch beside the program."""
    console.chat.demand_sandbox()
    if not console.chat.freely:
        raise UsageError("this command runs the new code to compare it; /set run on allows that")
    base = console.session.undo(len(console.session.path) - number + 1)
    generator = replace(console.generator(base), run=console.chat.run_program, look=console.chat.trial)
    reworked = do(generator, console.session)
    console.chat.keep(reworked.session, "rework")
    return reworked


def show_result(console: Console, reworked: ReworkResult, same: str) -> None:
    """Shows the difference and whether the new code is used; `same` is the message if it is."""
    view = console.view
    if reworked.new and reworked.new != reworked.old:
        view.say(f"turn {reworked.number}, before (-) and after (+):")
        view.diff(reworked.old, reworked.new)
    if not reworked.taken:
        view.say(f"the new code is not used: {'; '.join(reworked.reasons)}")
        return
    doubt = remaining_problem(reworked.session.outcome)
    view.say(f"{same}, but {doubt}" if doubt else f"✓ {same}", YELLOW if doubt else GREEN)
    view.note("the old code stays in the session as a branch; /tree shows it")
    if is_wrong(reworked.session.outcome):
        view.note("/explain says why in plain words, /fix asks the model to repair it")


def remaining_problem(outcome: Outcome | None) -> str:
    """What is wrong with the program in its last run; "" if nothing is."""
    if outcome is None or never_ended(outcome):
        return "the program has not finished a run"
    if failed(outcome):
        return "the program fails"
    return "a check fails" if outcome.broken else ""
