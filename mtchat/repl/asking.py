"""Asks the user which reading of an instruction is meant, and which of several tries becomes the live one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mtchat.repl.view import View
from mtchat.synthesis import Asking, Reading
from mtchat.synthesis.readings import COMPARABLE

if TYPE_CHECKING:
    from mtchat.repl.desk import Desk

Answer = Callable[[str], str | None]
AUTO, ALWAYS, NEVER = "auto", "always", "never"


def asking(desk: "Desk") -> Asking | None:
    """How the user is asked what an instruction means; None where that is switched off or nobody is there."""
    answer = desk.answer
    if answer is None or desk.settings.ask == NEVER:
        return None
    always = desk.settings.ask == ALWAYS

    def ask(instruction: str, found: Sequence[Reading]) -> int | str | None:
        return meant(desk.view, answer, found)

    return Asking(ask, 0.0 if always else COMPARABLE, always)


def meant(view: View, answer: Answer, found: Sequence[Reading]) -> int | str | None:
    """The place of the reading that the user means, or other words for it; None where they leave it open."""
    view.erase()
    view.heading("This can be meant in more than one way:")
    for number, reading in enumerate(found, start=1):
        view.say(f"  {number}  {reading.told}")
    view.note("type its number, or say in other words what you mean; Enter takes 1, Ctrl-C leaves it open")
    return chosen(view, answer, "which one? ", len(found), 0)


def picked(view: View, answer: Answer, found: Sequence[Reading]) -> int | None:
    """The place of the try that the user wants; None where the live one stays."""
    while True:
        choice = chosen(view, answer, "which one? (Enter keeps the live one) ", len(found), None)
        if not isinstance(choice, str):
            return choice
        view.note(f"type a number from 1 to {len(found)}, or Enter")


def chosen(view: View, answer: Answer, label: str, most: int, default: int | None) -> int | str | None:
    """A place as typed, the default where nothing is typed; other words as they are; None after Ctrl-C."""
    while True:
        text = answer(label)
        if text is None:
            return None
        word = text.strip()
        if not word:
            return default
        if word.startswith("/"):
            view.note("Ctrl-C leaves the question open; then commands work again")
            continue
        if not (word.isascii() and word.isdecimal()):
            return word
        if 1 <= int(word[:9]) <= most:
            return int(word) - 1
        view.note(f"there are {most}; type a number from 1 to {most}")


def offered(view: View, found: Sequence[Reading], live: str) -> None:
    """What several tries do, each thing once, with the code of the likeliest try that does it."""
    for number, reading in enumerate(found, start=1):
        now = ", live" if reading.candidate.turn.chunk == live else ""
        tries = f"{reading.count} {'try' if reading.count == 1 else 'tries'}"
        view.heading(f"{number}  {reading.told}  ({tries}{now})")
        view.code(reading.candidate.turn.chunk)
