"""Fits text to the screen: display width, wrapping, clipping, and excerpts of what a program prints."""

import re
from dataclasses import dataclass

from wcwidth import wcwidth

from mtchat.session.text import escape_controls


@dataclass(frozen=True)
class Excerpt:
    """Lines that fit, and what was left out: whole lines, and characters of the last line shown."""

    lines: tuple[str, ...]
    more_lines: int = 0
    more_characters: int = 0

    @property
    def rest(self) -> str:
        """What was left out, in words; "" if nothing was."""
        if self.more_characters:
            lines = f" and {describe_count(self.more_lines, 'more line')}" if self.more_lines else ""
            return f"{describe_count(self.more_characters, 'more character')}{lines}"
        return describe_count(self.more_lines, "more line") if self.more_lines else ""


def display_width(text: str) -> int:
    """The columns that a text takes in a terminal: a Chinese sign takes two, a control character none."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(max(wcwidth(sign), 0) for sign in text)


def clip(text: str, width: int) -> str:
    """As much of a text as fits in `width` columns."""
    columns = 0
    for end, sign in enumerate(text):
        columns += display_width(sign)
        if columns > width:
            return text[:end]
    return text


def shorten(text: str, width: int) -> str:
    """A text in at most `width` columns, with an ellipsis if it is cut."""
    return text if display_width(text) <= width else clip(text, width - 1) + "…"


def pad(text: str, width: int) -> str:
    """A text in exactly `width` columns."""
    text = shorten(text, width)
    return text + " " * (width - display_width(text))


def wrap(text: str, width: int) -> str:
    """A line in lines of at most `width` columns, broken between words; a longer word stays whole."""
    lines = [""]
    for word in re.split(r"(?<=[^ ]) ", text):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and display_width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def excerpt(text: str, rows: int, columns: int) -> Excerpt:
    """The beginning of an output, escaped, in at most `rows` rows of a screen with `columns` columns."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    kept: list[str] = []
    for number, raw in enumerate(lines):
        if not rows:
            return Excerpt(tuple(kept), len(lines) - number)
        line, room = escape_controls(apply_returns(raw)), rows * max(columns, 1)
        needed = display_width(line.expandtabs())
        if needed > room:
            shown = clip(line, room - 1)
            kept.append(shown + "…")
            return Excerpt(tuple(kept), len(lines) - number - 1, len(line) - len(shown))
        kept.append(line)
        rows -= max(-(-needed // max(columns, 1)), 1)
    return Excerpt(tuple(kept))


def apply_returns(line: str) -> str:
    """A line as a terminal shows it: text after a carriage return overwrites the text before it."""
    if "\r" not in line:
        return line
    written = ""
    for part in line.rstrip("\r").split("\r"):
        written = part + written[len(part) :]
    return written


def describe_count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
