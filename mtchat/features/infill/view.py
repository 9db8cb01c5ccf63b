"""Fills the holes in the user's code and shows the difference; the code with its holes is always kept."""

from mtchat.console.console import Console
from mtchat.conversation import editing
from mtchat.errors import MtchatError
from mtchat.session.hole import first_hole
from mtchat.session.session import Session

AGAIN = "your code is kept with its hole; /code {number} opens it again"


def unfinished_code(session: Session, number: int) -> str:
    """The latest code with a hole for a turn, unless it has been replaced since."""
    turn = session.numbered(number)
    latest = session.children(turn.parent)[-1]
    return latest.chunk if latest.instruction == turn.instruction and first_hole(latest.chunk) else ""


def fill_and_show(console: Console, number: int, code: str) -> str:
    """The code with each hole filled, after showing the difference; "" if the user interrupted it."""
    try:
        new = editing.fill(console.chat, number, code)
    except KeyboardInterrupt:
        console.view.note(f"interrupted; the program is unchanged, and {AGAIN.format(number=number)}")
        return ""
    except MtchatError as error:
        raise type(error)(f"{error}\n{AGAIN.format(number=number)}") from error
    console.view.diff(code, new)
    return new
