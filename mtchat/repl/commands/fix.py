"""Asks the model to mend the failing turn: at most N rounds (3), each shown; the best program is kept."""

from mtchat.repl.commands.undo import amount
from mtchat.repl.desk import Desk

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    before = desk.session.head
    fixed = desk.fix(amount(argument or "3"))
    changed = "" if fixed.session.head != before else "; the program is as it was"
    desk.view.line(f"fix ended after round {fixed.rounds}: {fixed.reason}{changed}")
