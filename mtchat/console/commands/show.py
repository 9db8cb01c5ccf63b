"""Shows the program, or turn N of it, under its instructions."""

from mtchat.console.captions import context_label
from mtchat.console.desk import Desk

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    path = desk.session.path
    chosen = desk.number(argument) if argument.strip() or not path else None
    if desk.session.preamble.strip() and chosen is None:
        desk.view.code(desk.session.preamble.rstrip())
        desk.view.line()
    for number, turn in enumerate(path, start=1):
        if chosen in (None, number):
            desk.view.turn(number, turn, context_label(desk.session, turn))
            if number < len(path) and chosen is None:
                desk.view.line()
