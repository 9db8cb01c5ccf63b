"""Brings back the turn that was last taken back, or the last N."""

from mtchat.repl.commands.undo import amount, brief, where
from mtchat.repl.desk import Desk

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    turns = amount(argument)
    session = desk.keep(desk.session.redo(turns), "redo")
    for turn in session.path[-turns:]:
        desk.view.line(f"brought back: {brief(turn.instruction)}")
    desk.view.line(where(desk))
