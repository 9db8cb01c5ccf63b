"""Brings back the turn or the correction that was last taken back, or the last N."""

from mtchat.console.captions import describe_position
from mtchat.console.console import Console
from mtchat.console.parsing import parse_count
from mtchat.features.correction.view import step_name
from mtchat.session.back import bring_back

USAGE = "[N]"


def do(console: Console, argument: str) -> None:
    session, back = bring_back(console.session, parse_count(argument))
    console.chat.keep(session, "redo")
    for turn in back:
        console.view.say(f"brought back: {step_name(turn)}")
    console.view.say(describe_position(console.session))
