"""Asks the model to mend the failing turn, in at most N rounds (3).

That is the turn with the line that fails, also where a later one calls it. A turn about which a check
does not hold is mended in the same way (/check). Each round is shown, and the best program is kept: it is
never worse than before. What fails for a missing file, keyboard or package is not for the model to mend. The
first try and the rounds that were not kept stay in the session beside it.
"""

from mtchat.console.console import Console
from mtchat.console.parsing import parse_count
from mtchat.errors import UsageError
from mtchat.generate.running import failed

USAGE = "[N]"
PYTHON_ONLY = True
MOST = 9


def do(console: Console, argument: str) -> None:
    rounds = parse_count(argument, default=3)
    if rounds > MOST:
        raise UsageError(f"at most {MOST} rounds; /edit changes what the turn is asked for")
    console.number("")
    before = console.session.head
    fixed = console.fix(rounds)
    changed = "" if fixed.session.head != before else "; the program is as it was"
    console.view.say(f"fix ended after round {fixed.rounds}: {fixed.reason}{changed}")
    if failed(fixed.session.outcome):
        number = fixed.session.outcome.turn if fixed.session.outcome else None
        place = number or len(fixed.session.path)
        console.view.note(
            f"/explain says why it fails, /edit {place} changes what turn {place} is asked for, "
            "/undo takes the last turn back"
        )
