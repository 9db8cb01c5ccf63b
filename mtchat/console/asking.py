"""Asks the user which reading of an instruction is meant, and which of several tries becomes the live one.

A command or a next step that is typed in place of an answer is none, and is done next.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mtchat.console import slash
from mtchat.console.captions import one_line
from mtchat.console.view import View
from mtchat.features.correction.patterns import STEP
from mtchat.generate.readings import COMPARABLE, Asking, Interpretation

if TYPE_CHECKING:
    from mtchat.console.desk import Desk

Answer = Callable[[str], str | None]
AUTO, ALWAYS, NEVER = "auto", "always", "never"
NEXT, THIS = "next", "this"
WHICH = f"is that the next step, or what this one means? [{NEXT}] or {THIS}: "
EITHER = (
    f"type {NEXT} or {THIS}; a command leaves the question open, and Ctrl-C asks again which one is meant"
)
WAYS = "type its number, or say in other words what you mean; Enter takes 1, Ctrl-C leaves it open"
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
CHOICE = re.compile(
    r"(?:please )?"
    r"(?:(?:i(?:'d)? (?:want|take|prefer|like)|use|take|pick|choose|keep|make|try|show(?: me)?) )?"
    r"(?:the )?(?:number |try |one )?"
    rf"(?:(?P<number>\d{{1,9}})(?:st|nd|rd|th)?|(?P<ordinal>{'|'.join(ORDINALS)}|last))"
    r"(?: one| try)?(?: live)?(?:,? please)?[.!]?",
    re.IGNORECASE | re.ASCII,
)


def asking(desk: "Desk") -> Asking | None:
    """How the user is asked what an instruction means; None where that is switched off or nobody is there."""
    answer = desk.answer
    if answer is None or desk.settings.ask == NEVER:
        return None
    always = desk.settings.ask == ALWAYS

    def ask(instruction: str, found: Sequence[Interpretation]) -> int | str | None:
        return meant(desk, answer, found)

    return Asking(ask, 0.0 if always else COMPARABLE, always)


def meant(desk: "Desk", answer: Answer, found: Sequence[Interpretation]) -> int | str | None:
    """The place of the reading that the user means, or other words for it; None where they leave it open."""
    desk.view.erase()
    desk.view.heading("This can be meant in more than one way:")
    for number, reading in enumerate(found, start=1):
        desk.view.say(f"  {number}  {reading.told}")
    desk.view.note(WAYS)
    while isinstance(choice := chosen(desk.view, answer, "which one? ", len(found), 0), str):
        later = follows(desk, answer, choice)
        if later:
            postpone(desk, later, "the question is left open")
            return None
        if later is not None:
            return choice
        desk.view.note(WAYS)
    return choice


def picked(desk: "Desk", answer: Answer, found: Sequence[Interpretation]) -> int | None:
    """The place of the try that the user wants; None where the live one stays."""
    label = "which one? (Enter keeps the live one) "
    while isinstance(choice := chosen(desk.view, answer, label, len(found), None), str):
        place = numbered(choice, len(found))
        if place is not None and place < len(found):
            return place
        if place is None and (is_command(choice) or STEP.match(choice)):
            postpone(desk, choice, "that is no number")
            return None
        desk.view.note(f"type a number from 1 to {len(found)}, or Enter")
    return choice


def chosen(view: View, answer: Answer, label: str, most: int, default: int | None) -> int | str | None:
    """A place as typed, the default where nothing is typed; other words as they are; None after Ctrl-C."""
    while True:
        text = answer(label)
        if text is None:
            return None
        word = text.strip()
        if not word:
            return default
        if not (word.isascii() and word.isdecimal()):
            return word
        if 1 <= int(word[:9]) <= most:
            return int(word) - 1
        view.note(f"there are {most}; type a number from 1 to {most}")


def numbered(words: str, most: int) -> int | None:
    """The place, from 0, that words such as "use the second one" choose, which may be none of so many."""
    found = CHOICE.fullmatch(words)
    if found is None:
        return None
    ordinal = (found["ordinal"] or "").lower()
    if ordinal == "last":
        return most - 1
    number = ORDINALS.index(ordinal) + 1 if ordinal else int(found["number"])
    return number - 1 if number else most


def follows(desk: "Desk", answer: Answer, words: str) -> str | None:
    """What to do next, where words say that; "" where they say what this step means; None where neither."""
    if is_command(words):
        return words
    if words.startswith("/") or words.endswith("?"):
        return None
    if not STEP.match(words):
        return ""
    while (text := answer(WHICH)) is not None:
        word = text.strip()
        if is_command(word):
            desk.held = words  # which nobody has said what to do with
            return word
        if NEXT.startswith(word.lower()):
            return words
        if THIS.startswith(word.lower()):
            return ""
        desk.view.note(EITHER)
    return None


def is_command(words: str) -> bool:
    return words.startswith("/") and words[1:].partition(" ")[0] in slash.names()


def postpone(desk: "Desk", words: str, why: str) -> None:
    """Keeps what was typed in place of an answer: it is done as soon as this turn is over."""
    desk.later = words
    desk.view.note(f"{why}; next comes: {one_line(words)}")


def offered(view: View, found: Sequence[Interpretation], live: str) -> None:
    """What several tries do, each thing once, with the code of the likeliest try that does it."""
    for number, reading in enumerate(found, start=1):
        now = ", live" if reading.candidate.turn.chunk == live else ""
        tries = f"{reading.count} {'try' if reading.count == 1 else 'tries'}"
        view.heading(f"{number}  {reading.told}  ({tries}{now})")
        view.code(reading.candidate.turn.chunk)
