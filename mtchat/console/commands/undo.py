"""Takes back the last turn, or the last N; /redo brings them back.

A correction is one step, too: the turns are then as they were before it.
"""

from mtchat.console.captions import describe_position
from mtchat.console.console import Console
from mtchat.console.parsing import parse_count
from mtchat.features.correction.view import step_name
from mtchat.session.back import take_back

USAGE = "[N]"


def do(console: Console, argument: str) -> None:
    session, left = take_back(console.session, parse_count(argument))
    console.chat.keep(session, "undo")
    for turn in reversed(left):
        console.view.say(f"took back: {step_name(turn)}")
    console.view.say(describe_position(console.session))
