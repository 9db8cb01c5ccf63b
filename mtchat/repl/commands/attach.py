"""Gives programs a copy of your files: each run finds them in its work folder.

FILE may be a pattern such as data/*.csv. Programs see the name without its folder, and what they change is
their copy. Without FILE the attached files are listed; -d NAME lets one go. The session keeps the list: a
file that is gone or has changed when the session is opened again is let go, with a notice.
"""

from pathlib import Path

from mtchat.errors import UsageError
from mtchat.repl.desk import Desk
from mtchat.repl.view import shown, size
from mtchat.repl.words import matches, words
from mtchat.store import attach, detach

USAGE = "[-d] [FILE...]"
PYTHON_ONLY = True
PATHS = ""


def do(desk: Desk, argument: str) -> None:
    names = words(argument)
    if names[:1] == ("-d",):
        if not names[1:]:
            raise UsageError("let which file go? /attach lists them")
        desk.keep(detach(desk.session, names[1:]), "attach")
        desk.view.say(f"programs do not get {', '.join(names[1:])} any more")
        return
    if not names:
        listing(desk)
        return
    paths = [path for name in names for path in matches(name)]
    desk.keep(attach(desk.session, paths, desk.settings.disk_mib), "attach")
    for file in desk.session.attached:
        if file.path.name in {path.name for path in paths}:
            desk.view.say(f"{file.name}, {size(file)}: the program opens it as {file.name!r}")
    if desk.session.path:
        desk.view.note("/run runs the program with it")


def listing(desk: Desk) -> None:
    if not desk.session.attached:
        desk.view.say("no file is attached; /attach FILE gives programs a copy of one")
    rows = [(file.name, size(file), shown(Path(file.path))) for file in desk.session.attached]
    desk.view.table(rows, (40, 12))


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(f"-d {file.name}", "lets it go") for file in desk.session.attached]
