"""Small readings and sayings that several commands share."""

from mtchat.core.session import Session
from mtchat.errors import UsageError

DIGITS = 9


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
    """An instruction on one line."""
    text = " ".join(instruction.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def where(session: Session) -> str:
    """Which turn is now the last."""
    path = session.path
    return f"now at turn {len(path)}: {brief(path[-1].instruction)}" if path else "now at the start: no turns"


def sound(text: str) -> str:
    """Text that can be encoded: bytes that were no UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode()
