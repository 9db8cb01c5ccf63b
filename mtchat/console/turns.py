"""Turns of the live conversation as they are typed and told: "2", "1-3 5", "turns 1-3, 5 are folded"."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.console.words import brief
from mtchat.errors import UsageError
from mtchat.session.memory import spans

if TYPE_CHECKING:
    from mtchat.console.desk import Desk


def chosen(desk: "Desk", argument: str, verb: str) -> tuple[int, ...]:
    """The numbers of turns as typed, in order, each once: "3", "1 4", "1-3, 5"."""
    found: set[int] = set()
    for word in argument.replace(",", " ").split():
        first, dash, last = word.partition("-")
        start = desk.number(first or word)
        end = desk.number(last or word) if dash else start
        if end < start:
            raise UsageError(f"{word} has no turns in it; from the lower to the higher, as in {end}-{start}")
        found.update(range(start, end + 1))
    if not found:
        raise UsageError(f"{verb} which turn? /context shows what each one takes")
    return tuple(sorted(found))


def tell(desk: "Desk", number: int, context: str, why: str) -> None:
    """Lays down how the model is told a turn from now on."""
    turn = desk.session.numbered(number)
    mark = replace(desk.session.mark(turn.id), context=context)
    desk.keep(desk.session.with_mark(turn.id, mark), why)


def offered(desk: "Desk") -> list[tuple[str, str]]:
    """The turns as completion offers them."""
    return [(str(number), brief(turn.instruction, 40)) for number, turn in enumerate(desk.session.path, 1)]


def fitting(numbers: Sequence[int]) -> str:
    """What to say where turns are folded so that the context fits the model."""
    return f"{are(numbers)} folded to fit: the model sees imports, names and signatures of that code"


def are(numbers: Sequence[int]) -> str:
    """Turns with their verb: "turn 2 is", "turns 1-3 are"."""
    return f"{spans(numbers)} {'is' if len(numbers) == 1 else 'are'}"
