"""Lists and plurals in English sentences."""

from collections.abc import Sequence


def join_words(words: Sequence[str]) -> str:
    """The words as a list in a sentence: "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def quantity(count: int, noun: str) -> str:
    """A number of things: "1 turn", "3 entries"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
