"""Asks the model to mend the failing turn, in at most N rounds (3).

Each round is shown, and the best program is kept: it is never worse than before. The first try and the
rounds that were not kept stay in the session beside it.
"""

from mtchat.repl.commands.undo import amount
from mtchat.repl.desk import Desk

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    before = desk.session.head
    fixed = desk.fix(amount(argument or "3"))
    changed = "" if fixed.session.head != before else "; the program is as it was"
    desk.view.line(f"fix ended after round {fixed.rounds}: {fixed.reason}{changed}")
