"""Brings back the turn or the correction that was last taken back, or the last N."""

from mtchat.console.desk import Desk
from mtchat.console.words import amount, where
from mtchat.features.correction.view import step_name
from mtchat.session.back import bring_back

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    session, back = bring_back(desk.session, amount(argument))
    desk.keep(session, "redo")
    for turn in back:
        desk.view.say(f"brought back: {step_name(turn)}")
    desk.view.say(where(desk.session))
