"""Small readings and sayings that several commands share."""

import glob
import os
import re
import shlex
from datetime import datetime
from pathlib import Path

from mtchat.errors import UsageError
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn

DIGITS = 9
QUOTED = r"""(?:[^<"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*"""


def number(text: str, what: str = "a number from 1") -> int:
    """A whole number from 1 as typed."""
    word = text.strip()
    if not (word.isascii() and word.isdecimal() and len(word) <= DIGITS and int(word) >= 1):
        raise UsageError(f"{word[:40]!r} is not {what}")
    return int(word)


def amount(text: str, default: int = 1) -> int:
    """How many, as typed; the default when nothing is."""
    return number(text) if text.strip() else default


def brief(instruction: str, width: int = 70) -> str:
    """An instruction on one line; / stands where it had several."""
    text = " / ".join(" ".join(line.split()) for line in instruction.split("\n") if line.strip())
    return text if len(text) <= width else text[: width - 1] + "…"


def day(moment: datetime, now: datetime | None = None) -> str:
    """The day of a moment, as people say it."""
    here = moment.astimezone()
    days = ((now or datetime.now().astimezone()).date() - here.date()).days
    return {0: "today", 1: "yesterday"}.get(days, f"on {here.date().isoformat()}")


def where(session: Session) -> str:
    """Which turn is now the last."""
    path = session.path
    return f"now at turn {len(path)}: {brief(path[-1].shown)}" if path else "now at the start: no turns"


def sign(session: Session, turn: Turn) -> str:
    """How a turn went, as one character."""
    if turn.status == INTERRUPTED:
        return "■"
    return {True: "✓", False: "✗", None: "·"}[session.ran(turn.id)]


def names_of(session: Session, turn: str) -> str:
    """The branches that end at a turn, in brackets; "" where none does."""
    found = [name for name, end in session.branches.items() if end == turn]
    return f"  [{', '.join(found)}]" if found else ""


def context_of(session: Session, turn: Turn) -> str:
    """How the model is told of a turn, where that is not whole, in brackets."""
    context = session.mark(turn.id).context
    return f"  ({context})" if context else ""


def unrun(session: Session, shell: bool = False) -> str:
    """Why nothing of a session in another language than Python is run, and what can be done with it."""
    spoken = session.language
    file = f"{session.name or 'program'}{spoken.suffix}"
    way = f"mtchat export {shlex.quote(session.name)} -o {shlex.quote(file)}" if shell else "/export code"
    return f"only Python runs here, and this session is written in {spoken.title}: {way} writes {file}"


def sound(text: str) -> str:
    """Text that can be encoded: bytes that were no UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode()


def words(text: str) -> tuple[str, ...]:
    """The words of a line as a shell takes them apart: quotes hold words together."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{str(error).lower()} in {brief(text, 40)!r}") from None


def redirected(text: str) -> tuple[str, str]:
    """What is before the first < that is not in quotes, and what is after it, which is never empty then."""
    match = re.match(QUOTED, text, re.DOTALL)
    end = match.end() if match else 0
    if text[end : end + 1] != "<":
        return text, ""
    if not text[end + 1 :].strip():
        raise UsageError("which file follows <? as in: /run < names.txt")
    return text[:end], text[end + 1 :]


def home(text: str) -> Path:
    """A path as typed, where ~ is the user's home; an empty name does not stand for the folder here."""
    if not text:
        raise UsageError("a name is empty; . means this folder")
    return Path(os.path.expanduser(text))


def regular(text: str) -> Path:
    """A regular file of the user's that can be read, as typed."""
    path = home(text)
    try:
        if path.is_dir() or not path.exists():
            raise UsageError(f"{path} is {'a folder' if path.is_dir() else 'not there'}")
        if not path.is_file():
            raise UsageError(f"{path} is not a regular file")
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return path


def matches(text: str) -> list[Path]:
    """The files that a path or a pattern as typed stands for; a path that is there is meant as it is."""
    path = home(text)
    try:
        found = [] if path.exists() else sorted(glob.glob(str(path)))
    except (OSError, ValueError):
        found = []
    if not found and glob.has_magic(text) and not os.path.lexists(path):
        raise UsageError(f"no file matches {text}")
    return [Path(each) for each in found] or [path]
