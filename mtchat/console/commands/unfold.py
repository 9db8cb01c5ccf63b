"""Tells the model all of turn K again, after /fold or /forget."""

from mtchat.console.console import Console
from mtchat.features.context.view import parse_turns, set_context, turn_choices
from mtchat.session.mark import WHOLE

USAGE = "K..."


def do(console: Console, argument: str) -> None:
    for number in parse_turns(console.session, argument, "unfold"):
        turn = console.session.numbered(number)
        mark = console.session.mark(turn.id)
        if mark.context == WHOLE:
            console.view.note(f"turn {number} is told whole already, where it fits; /context shows it")
            continue
        console.chat.keep(set_context(console.session, number, WHOLE), "unfold")
        console.view.say(f"turn {number} was {mark.context}; the model sees all of it again")


def complete(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)
