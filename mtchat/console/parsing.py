"""Parses what is typed after a command: numbers, words, redirections, paths."""

import glob
import os
import re
import shlex
from pathlib import Path

from mtchat.console.captions import one_line
from mtchat.errors import UsageError

DIGITS = 9
QUOTED = r"""(?:[^<"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*"""


def parse_number(text: str, what: str = "a whole number of at least 1") -> int:
    """A whole number of at least 1, as typed; `what` names it in the error."""
    word = text.strip()
    if not (word.isascii() and word.isdecimal() and len(word) <= DIGITS and int(word) >= 1):
        raise UsageError(f"{word[:40]!r} is not {what}")
    return int(word)


def parse_count(text: str, default: int = 1) -> int:
    """A count as typed; the default if nothing is."""
    return parse_number(text) if text.strip() else default


def split_words(text: str) -> tuple[str, ...]:
    """The words of a line, split as a shell does: quotes hold words together."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{str(error).lower()} in {one_line(text, 40)!r}") from None


def split_redirect(text: str) -> tuple[str, str]:
    """The text before the first unquoted <, and the text after it, which is "" only without a <."""
    match = re.match(QUOTED, text, re.DOTALL)
    end = match.end() if match else 0
    if text[end : end + 1] != "<":
        return text, ""
    if not text[end + 1 :].strip():
        raise UsageError("no file after <; for example: /run < names.txt")
    return text[:end], text[end + 1 :]


def user_path(text: str) -> Path:
    """A path as typed, with ~ for the home folder; an empty name is an error, not the current folder."""
    if not text:
        raise UsageError("the file name is empty; use . for the current folder")
    return Path(os.path.expanduser(text))


def readable_file(text: str) -> Path:
    """A regular file that the user can read, as typed."""
    path = user_path(text)
    try:
        if path.is_dir() or not path.exists():
            raise UsageError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
        if not path.is_file():
            raise UsageError(f"{path} is not a regular file")
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return path


def match_files(text: str) -> list[Path]:
    """The files that a path or a glob pattern stands for; a path that exists is never taken as a pattern."""
    path = user_path(text)
    try:
        found = [] if path.exists() else sorted(glob.glob(str(path)))
    except (OSError, ValueError):
        found = []
    if not found and glob.has_magic(text) and not os.path.lexists(path):
        raise UsageError(f"no file matches {text}")
    return [Path(each) for each in found] or [path]


def make_encodable(text: str) -> str:
    """Text that can be encoded as UTF-8: lone surrogates, from bytes that were not UTF-8, become ?."""
    return text.encode("utf-8", "replace").decode()
