"""Goes on with another session; this one is saved."""

from mtchat.console.captions import describe_position, explain_not_run
from mtchat.console.desk import Desk
from mtchat.errors import UsageError
from mtchat.store import Log, find, paths

USAGE = "NAME"


def do(desk: Desk, argument: str) -> None:
    if not argument.strip():
        raise UsageError("open which session? /sessions lists them")
    path = find(argument.strip(), desk.folder)
    if path.resolve() == desk.log.path.resolve():
        raise UsageError(f"{desk.session.name} is open already")
    desk.reopen(Log.open(path))
    desk.view.say(f"opened {desk.session.name}, {describe_position(desk.session)}")
    if not desk.session.language.runs:
        desk.view.note(explain_not_run(desk.session))


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(path.stem, "") for path in paths(desk.folder)]
