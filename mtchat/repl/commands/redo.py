"""Brings back the turn that was last taken back, or the last N."""

from mtchat.repl.desk import Desk
from mtchat.repl.words import amount, brief, where

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    turns = amount(argument)
    desk.keep(desk.session.redo(turns), "redo")
    for turn in desk.session.path[-turns:]:
        desk.view.line(f"brought back: {brief(turn.shown)}")
    desk.view.line(where(desk.session))
