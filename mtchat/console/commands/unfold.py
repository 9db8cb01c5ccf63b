"""Tells the model all of turn K again, after /fold or /forget."""

from mtchat.console.desk import Desk
from mtchat.features.context.view import parse_turns, set_context, turn_choices
from mtchat.session.mark import WHOLE

USAGE = "K..."


def do(desk: Desk, argument: str) -> None:
    for number in parse_turns(desk.session, argument, "unfold"):
        turn = desk.session.numbered(number)
        mark = desk.session.mark(turn.id)
        if mark.context == WHOLE:
            desk.view.note(f"turn {number} is told whole already, where it fits; /context shows it")
            continue
        desk.keep(set_context(desk.session, number, WHOLE), "unfold")
        desk.view.say(f"turn {number} was {mark.context}; the model sees all of it again")


def complete(desk: Desk) -> list[tuple[str, str]]:
    return turn_choices(desk.session)
