"""The tree of a session as rows to draw: where each turn hangs, and what it is called."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from string import ascii_lowercase

from mtchat.errors import MtchatError
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import Turn

LETTERS = len(ascii_lowercase)


@dataclass(frozen=True)
class Row:
    """One turn of the tree: the lines that lead to it, its label, and the turn."""

    lines: str
    label: str
    turn: Turn


def labels(session: Session) -> Mapping[str, str]:
    """What each turn is called, by its id: its place in its conversation, and a letter from the second on.

    "3" is the first turn that was made in third place, "3b" the next one there; a label never changes.
    """
    places: dict[str, int] = {ROOT: 0}
    made: dict[int, Iterator[int]] = {}
    found = {}
    for turn in session.turns:
        place = places[turn.id] = places[turn.parent] + 1
        found[turn.id] = f"{place}{letter(next(made.setdefault(place, count())))}"
    return found


def letter(number: int) -> str:
    """Nothing for 0, then b, c, ... z, ba, bb, ..."""
    text = ""
    while number:
        number, rest = divmod(number, LETTERS)
        text = ascii_lowercase[rest] + text
    return text


def labelled(session: Session, label: str) -> Turn:
    """The turn that is called so."""
    for turn, known in labels(session).items():
        if known == label:
            return session.get(turn)
    raise MtchatError(f"no turn {label!r} in this session; /tree shows them all")


def outline(session: Session) -> Iterator[Row]:
    """Every turn, each below the one before it; alternatives are set apart, the live one last.

    So the live conversation reads straight down the left side.
    """
    names = labels(session)
    below: dict[str, list[Turn]] = {}
    for turn in session.turns:
        below.setdefault(turn.parent, []).append(turn)
    live = {turn.id for turn in session.path} | set(session.visited.values())
    waiting = [(ROOT, "", "")]
    while waiting:
        at, lines, branch = waiting.pop()
        if at != ROOT:
            yield Row(lines + branch, names[at], session.get(at))
        inner = lines + ("│ " if branch else "")
        tries = sorted(below.get(at, []), key=lambda turn: turn.id in live)
        waiting += [(turn.id, inner, "") for turn in tries[-1:]]
        waiting += [(turn.id, inner, "├ ") for turn in reversed(tries[:-1])]
