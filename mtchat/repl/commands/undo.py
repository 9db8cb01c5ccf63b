"""Takes back the last turn, or the last N; /redo brings them back."""

from mtchat.errors import MtchatError
from mtchat.repl.desk import Desk

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    turns = amount(argument)
    left = desk.session.path[-turns:]
    desk.keep(desk.session.undo(turns), "undo")
    for turn in left:
        desk.view.line(f"took back: {brief(turn.instruction)}")
    desk.view.line(where(desk))


def amount(argument: str) -> int:
    text = argument.strip() or "1"
    if not text.isdigit() or int(text) < 1:
        raise MtchatError(f"how many turns? {text!r} is not a number from 1")
    return int(text)


def brief(instruction: str, width: int = 70) -> str:
    """An instruction on one line."""
    text = " ".join(instruction.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def where(desk: Desk) -> str:
    """Which turn is now the last."""
    path = desk.session.path
    return f"now at turn {len(path)}: {brief(path[-1].instruction)}" if path else "now at the start: no turns"
