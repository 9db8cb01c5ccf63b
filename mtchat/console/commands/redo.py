"""Brings back the turn or the correction that was last taken back, or the last N."""

from mtchat.console.captions import describe_position
from mtchat.console.desk import Desk
from mtchat.console.parsing import parse_count
from mtchat.features.correction.view import step_name
from mtchat.session.back import bring_back

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    session, back = bring_back(desk.session, parse_count(argument))
    desk.keep(session, "redo")
    for turn in back:
        desk.view.say(f"brought back: {step_name(turn)}")
    desk.view.say(describe_position(desk.session))
