"""Code on the screen: coloured, wrapped to the width of the screen, and as a diff.

pygments is imported only when something is coloured: commands that show no code start without it.
"""

import re
from collections.abc import Iterator
from difflib import unified_diff
from functools import cache
from typing import TYPE_CHECKING

from mtchat.console.text import clip, display_width

if TYPE_CHECKING:
    from pygments.formatter import Formatter

CONTINUATION = "↳ "
NARROWEST = 20  # columns under which nothing is wrapped
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
AROUND = 2  # lines of context in a diff
GAP = "…"


def highlight_lines(code: str, language: str = "python", *, color: bool) -> list[str]:
    """The lines of some code, each coloured by itself, so that they can be printed one by one."""
    if not color:
        return code.split("\n")
    from pygments import highlight
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return highlight(code, lexer, formatter()).split("\n")


@cache
def formatter() -> "Formatter[str]":
    """Colours of the terminal's own palette, so that they suit dark and light backgrounds."""
    from pygments.formatters.terminal256 import Terminal256Formatter
    from pygments.style import Style
    from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

    class Palette(Style):
        """Sixteen-colour style: what the user's theme calls blue is blue."""

        styles = {  # noqa: RUF012 - the base class declares it so
            Token: "",
            Comment: "ansibrightblack",
            Keyword: "ansiblue",
            Operator.Word: "ansiblue",
            Name.Builtin: "ansicyan",
            Name.Function: "ansiyellow",
            Name.Class: "ansiyellow",
            Name.Decorator: "ansimagenta",
            Name.Exception: "ansired",
            Name.Namespace: "",
            String: "ansigreen",
            String.Interpol: "ansimagenta",
            Number: "ansimagenta",
        }

    return Terminal256Formatter(style=Palette)


def wrap_code(line: str, columns: int) -> list[str]:
    """A line of code, coloured or not, in rows of at most `columns`, broken between words if possible.

    Later rows are indented like the first and begin with a mark; colours continue. Only blanks are dropped.
    """
    bare = COLOUR.sub("", line)
    if columns < NARROWEST or display_width(bare) <= columns:
        return [line]
    indent = bare[: len(bare) - len(bare.lstrip())][: columns // 2]
    head = f"{indent}{CONTINUATION}"
    ends = list(find_breaks(bare, columns, display_width(head)))
    return [row if number == 0 else head + row for number, row in enumerate(cut_at(line, ends))]


def find_breaks(text: str, columns: int, indent: int) -> Iterator[int]:
    """Where the rows of a text end: after the last blank that fits, else in the middle of a word."""
    start, room = 0, columns
    while (end := start + len(clip(text[start : start + 4 * columns], room))) < len(text):
        blank = text.rfind(" ", start + 1, end)
        if text[start:blank].strip() and blank > start:
            end = blank + 1
        yield end
        start, room = end, columns - indent


def cut_at(line: str, ends: list[int]) -> Iterator[str]:
    """A coloured line cut at places of its bare text; each piece is coloured by itself."""
    row, colour, position = "", "", 0
    left = list(ends)
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if COLOUR.fullmatch(part):
            colour = "" if part in ("\x1b[39m", "\x1b[0m", "\x1b[m") else part
            row += part
            continue
        while left and position + len(part) > left[0]:
            here = left.pop(0) - position
            yield (row + part[:here]).rstrip(" ") + ("\x1b[39m" if colour else "")
            row, part, position = colour, part[here:], position + here
        row += part
        position += len(part)
    yield row


def diff_lines(old: str, new: str, around: int = AROUND) -> list[str]:
    """Removed lines begin with "- ", added ones with "+ ", those around them with two spaces.

    A line with an ellipsis stands for lines left out; nothing if the sources are the same.
    """
    lines = list(unified_diff(old.splitlines(), new.splitlines(), n=around, lineterm=""))[3:]
    return [GAP if line.startswith("@@") else f"{line[0]} {line[1:]}" for line in lines]
