"""Writes the program as a file: py runs by itself, ipynb, md and html are to be read."""

from pathlib import Path

from mtchat.errors import UsageError
from mtchat.export import file, format
from mtchat.repl.desk import Desk
from mtchat.repl.view import shown

USAGE = "FORMAT [FILE]"


def do(desk: Desk, argument: str) -> None:
    kind, _, name = argument.strip().partition(" ")
    if not kind:
        raise UsageError(f"export to which format? there are: {', '.join(format.names())}")
    suffix = format.load(kind).suffix
    target = Path(name.strip()).expanduser() if name.strip() else Path(f"{desk.session.name}{suffix}")
    desk.view.line(f"wrote {shown(file.save(desk.session, kind, target))}")


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(each, format.load(each).help) for each in format.names()]
