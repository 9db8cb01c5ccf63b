"""Stretches of text that others take the place of; whatever is not in one of them stays as it is."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class TextEdit:
    """Characters of a text, from `start` up to `end`, that another text takes the place of."""

    start: int
    end: int
    text: str


def apply_edits(code: str, edits: Iterable[TextEdit], start: int = 0, end: int | None = None) -> str:
    """A stretch of the code with its edits made; the same edit may be given twice, but none overlap."""
    parts, place = list[str](), start
    for edit in sorted(set(edits)):
        assert place <= edit.start <= edit.end, "two edits change the same text"
        parts += [code[place : edit.start], edit.text]
        place = edit.end
    return "".join([*parts, code[place:end]])
