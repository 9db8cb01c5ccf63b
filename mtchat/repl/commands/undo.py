"""Takes back the last turn, or the last N; /redo brings them back."""

from mtchat.repl.desk import Desk
from mtchat.repl.words import amount, brief, where

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    turns = amount(argument)
    left = desk.session.path[-turns:]
    desk.keep(desk.session.undo(turns), "undo")
    for turn in left:
        desk.view.line(f"took back: {brief(turn.shown)}")
    desk.view.line(where(desk.session))
