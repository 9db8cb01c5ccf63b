"""Fills the holes in code that the user wrote for a turn; the code with its holes is kept whatever comes."""

from dataclasses import replace

from mtchat.console.desk import Desk
from mtchat.errors import MtchatError
from mtchat.features.context.view import fitting
from mtchat.features.infill.fill import filled
from mtchat.features.regenerate.regenerate import written
from mtchat.generate.events import ContextFitted, Event
from mtchat.session.hole import first_hole
from mtchat.session.session import Session

AGAIN = "your code is kept with its hole; /code {number} opens it again"


def draft(session: Session, number: int) -> str:
    """The code with a hole that was written last for a turn, where nothing was put in its place since."""
    turn = session.numbered(number)
    latest = session.children(turn.parent)[-1]
    return latest.chunk if latest.instruction == turn.instruction and first_hole(latest.chunk) else ""


def fill(desk: Desk, number: int, code: str) -> str:
    """The code with each hole filled, once the difference is shown; "" where the user stopped that."""
    desk.keep(desk.session.beside(written(desk.session, number, code)), "edit")
    seen: list[Event] = []
    generator = replace(desk.generator(), on_event=seen.append, complete=desk.model.complete)
    try:
        with desk.view.waiting(lambda: "filling the hole"):
            new = filled(generator, desk.session, number, code, desk.settings.sampling)
    except KeyboardInterrupt:
        desk.view.note(f"stopped; the program is as it was, and {AGAIN.format(number=number)}")
        return ""
    except MtchatError as error:
        raise type(error)(f"{error}\n{AGAIN.format(number=number)}") from error
    for numbers in {event.folded for event in seen if isinstance(event, ContextFitted)}:
        desk.view.note(fitting(numbers))
    desk.view.diff(code, new)
    return new
