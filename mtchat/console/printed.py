"""Fits text to the screen: what a program prints into a few rows, and long lines of code between words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from prompt_toolkit.utils import get_cwidth

from mtchat.session.escape import escaped

MARK = "↳ "
NARROWEST = 20  # columns under which nothing is folded
STYLED = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Excerpt:
    """Lines that fit, and what was left out of them: whole lines, and characters of the last one shown."""

    lines: tuple[str, ...]
    more_lines: int = 0
    more_characters: int = 0

    @property
    def rest(self) -> str:
        """What was left out, in words; "" when nothing was."""
        if self.more_characters:
            lines = f" and {counted(self.more_lines, 'more line')}" if self.more_lines else ""
            return f"{counted(self.more_characters, 'more character')}{lines}"
        return counted(self.more_lines, "more line") if self.more_lines else ""


def excerpt(text: str, rows: int, columns: int) -> Excerpt:
    """The beginning of an output, escaped, that takes so many rows at most on a screen of so many columns."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    kept: list[str] = []
    for number, raw in enumerate(lines):
        if not rows:
            return Excerpt(tuple(kept), len(lines) - number)
        line, room = escaped(returned(raw)), rows * max(columns, 1)
        needed = width(line)
        if needed > room:
            shown = clipped(line, room - 1)
            kept.append(shown + "…")
            return Excerpt(tuple(kept), len(lines) - number - 1, len(line) - len(shown))
        kept.append(line)
        rows -= max(-(-needed // max(columns, 1)), 1)
    return Excerpt(tuple(kept))


def width(line: str) -> int:
    """The columns of a line."""
    return get_cwidth(line.expandtabs())


def returned(line: str) -> str:
    """A line as a terminal leaves it: what follows a carriage return overwrites what stands before it."""
    if "\r" not in line:
        return line
    written = ""
    for part in line.rstrip("\r").split("\r"):
        written = part + written[len(part) :]
    return written


def folded(line: str, columns: int) -> list[str]:
    """A line of code, coloured or not, in rows of so many columns, broken between words where it can be.

    Later rows are indented as the first and begin with a mark; colours go on. Nothing but blanks is dropped.
    """
    if columns < NARROWEST or get_cwidth(STYLED.sub("", line)) <= columns:
        return [line]
    bare = STYLED.sub("", line)
    indent = bare[: len(bare) - len(bare.lstrip())][: columns // 2]
    head = f"{indent}{MARK}"
    ends = list(breaks(bare, columns, get_cwidth(head)))
    return [row if number == 0 else head + row for number, row in enumerate(cut(line, ends))]


def breaks(text: str, columns: int, indent: int) -> Iterator[int]:
    """Where the rows of a text end: after the last blank that fits, else in the middle of a word."""
    start, room = 0, columns
    while (end := start + len(clipped(text[start : start + 4 * columns], room))) < len(text):
        blank = text.rfind(" ", start + 1, end)
        if text[start:blank].strip() and blank > start:
            end = blank + 1
        yield end
        start, room = end, columns - indent


def cut(line: str, ends: list[int]) -> Iterator[str]:
    """A coloured line cut at places of its bare text; each piece is coloured by itself."""
    row, colour, place = "", "", 0
    left = list(ends)
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if STYLED.fullmatch(part):
            colour = "" if part in ("\x1b[39m", "\x1b[0m", "\x1b[m") else part
            row += part
            continue
        while left and place + len(part) > left[0]:
            here = left.pop(0) - place
            yield (row + part[:here]).rstrip(" ") + ("\x1b[39m" if colour else "")
            row, part, place = colour, part[here:], place + here
        row += part
        place += len(part)
    yield row


def clipped(text: str, width: int) -> str:
    """As much of a text as fits in so many columns; a Chinese character takes two."""
    columns = 0
    for end, sign in enumerate(text):
        columns += get_cwidth(sign)
        if columns > width:
            return text[:end]
    return text


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
