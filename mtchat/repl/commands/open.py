"""Goes on with another session; this one is saved."""

from mtchat.errors import UsageError
from mtchat.repl.commands.undo import where
from mtchat.repl.desk import Desk
from mtchat.store import Log, find, summaries

USAGE = "NAME"


def do(desk: Desk, argument: str) -> None:
    if not argument.strip():
        raise UsageError("open which session? /sessions lists them")
    desk.reopen(Log.open(find(argument.strip(), desk.folder)))
    for notice in desk.log.notices:
        desk.view.note(notice)
    desk.view.line(f"opened {desk.session.name}, {where(desk)}")


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(each.name, each.instruction) for each in summaries(desk.folder)]
