"""Goes on with another session; this one is saved."""

from mtchat.console.captions import describe_position, explain_not_run
from mtchat.console.console import Console
from mtchat.errors import UsageError
from mtchat.store import Log, find, paths

USAGE = "NAME"


def do(console: Console, argument: str) -> None:
    if not argument.strip():
        raise UsageError("open which session? /sessions lists them")
    path = find(argument.strip(), console.folder)
    if path.resolve() == console.log.path.resolve():
        raise UsageError(f"{console.session.name} is open already")
    console.reopen(Log.open(path))
    console.view.say(f"opened {console.session.name}, {describe_position(console.session)}")
    if not console.session.language.runs:
        console.view.note(explain_not_run(console.session))


def complete(console: Console) -> list[tuple[str, str]]:
    return [(path.stem, "") for path in paths(console.folder)]
