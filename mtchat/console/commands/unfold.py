"""Tells the model all of turn K again, after /fold or /forget."""

from mtchat.console import turns
from mtchat.console.desk import Desk
from mtchat.session.mark import WHOLE

USAGE = "K..."


def do(desk: Desk, argument: str) -> None:
    for number in turns.chosen(desk, argument, "unfold"):
        turn = desk.session.numbered(number)
        mark = desk.session.mark(turn.id)
        if mark.context == WHOLE:
            desk.view.note(f"turn {number} is told whole already, where it fits; /context shows it")
            continue
        turns.tell(desk, number, WHOLE, "unfold")
        desk.view.say(f"turn {number} was {mark.context}; the model sees all of it again")


def complete(desk: Desk) -> list[tuple[str, str]]:
    return turns.offered(desk)
