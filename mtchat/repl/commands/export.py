"""Writes the program as a file: py runs by itself, ipynb, md and html are to be read."""

from pathlib import Path

from mtchat import export, registry
from mtchat.errors import UsageError
from mtchat.repl.desk import Desk
from mtchat.repl.view import shown

USAGE = "FORMAT [FILE]"


def do(desk: Desk, argument: str) -> None:
    kind, _, name = argument.strip().partition(" ")
    if not kind:
        raise UsageError(f"export to which format? there are: {', '.join(registry.names(export.FORMATS))}")
    target = Path(name.strip()).expanduser() if name.strip() else Path(f"{desk.session.name}.{kind}")
    desk.view.line(f"wrote {shown(export.save(desk.session, kind, target))}")


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [
        (each, registry.summary(registry.load(export.FORMATS, each)))
        for each in registry.names(export.FORMATS)
    ]
