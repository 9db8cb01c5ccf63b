"""Shows the program, or turn N of it, under its instructions."""

from mtchat.console.captions import context_label
from mtchat.console.console import Console

USAGE = "[N]"


def do(console: Console, argument: str) -> None:
    path = console.session.path
    chosen = console.number(argument) if argument.strip() or not path else None
    if console.session.preamble.strip() and chosen is None:
        console.view.code(console.session.preamble.rstrip())
        console.view.line()
    for number, turn in enumerate(path, start=1):
        if chosen in (None, number):
            console.view.turn(number, turn, context_label(console.session, turn))
            if number < len(path) and chosen is None:
                console.view.line()
