"""Brings back the turn or the correction that was last taken back, or the last N."""

from mtchat.core.back import bring_back
from mtchat.repl.correcting import named
from mtchat.repl.desk import Desk
from mtchat.repl.words import amount, where

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    session, back = bring_back(desk.session, amount(argument))
    desk.keep(session, "redo")
    for turn in back:
        desk.view.say(f"brought back: {named(turn)}")
    desk.view.say(where(desk.session))
