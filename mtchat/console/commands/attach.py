"""Gives programs a copy of your files: each run finds them in its work folder.

FILE may be a pattern such as data/*.csv, or a folder, such as a package, whose files keep their places.
Programs see the name without what is above it, and what they change is their copy. Without FILE the attached
files are listed; -d NAME lets one go. The session keeps the list: a file that has changed when you open the
session again is taken as it is then, and one that is gone is let go, each with a notice.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mtchat.console.captions import describe_size, short_path
from mtchat.console.desk import Desk
from mtchat.console.parsing import match_files, split_words
from mtchat.errors import UsageError
from mtchat.session.given import Attached
from mtchat.store import attach, detach

USAGE = "[-d] [FILE...]"
PYTHON_ONLY = True
PATHS = ""


def do(desk: Desk, argument: str) -> None:
    names = split_words(argument)
    if names[:1] == ("-d",):
        if not names[1:]:
            raise UsageError("let which file go? /attach lists them")
        desk.keep(detach(desk.session, names[1:]), "attach")
        desk.view.say(f"programs do not get {', '.join(names[1:])} any more")
        return
    if not names:
        listing(desk)
        return
    paths = [path for name in names for path in match_files(name)]
    desk.keep(attach(desk.session, paths, desk.settings.disk_mib), "attach")
    desk.own(paths)
    for name, files in together(desk.session.attached).items():
        if name.rstrip("/") in {Path(os.path.abspath(path)).name for path in paths}:
            desk.view.say(f"{name}, {whole(files)}: the program opens it as {files[0].name!r}")
    if desk.session.path:
        desk.view.note("/run runs the program with it")


def listing(desk: Desk) -> None:
    if not desk.session.attached:
        desk.view.say("no file is attached; /attach FILE gives programs a copy of one")
    rows = []
    for name, files in together(desk.session.attached).items():
        depth = files[0].name.count("/") if name.endswith("/") else 0
        rows.append((name, whole(files), short_path(Path(*Path(files[0].path).parts[: -depth or None]))))
    desk.view.table(rows, (40, 22))


def together(attached: Sequence[Attached]) -> dict[str, list[Attached]]:
    """The attached files by name, those of a folder under the folder's, which ends in /."""
    found: dict[str, list[Attached]] = {}
    for file in attached:
        first, slash, _ = file.name.partition("/")
        found.setdefault(first + slash, []).append(file)
    return found


def whole(files: Sequence[Attached]) -> str:
    """How much it is: a file's size, or how many files a folder has and theirs."""
    room = describe_size(replace(files[0], size=sum(file.size for file in files)))
    return room if len(files) == 1 and "/" not in files[0].name else f"{len(files)} files, {room}"


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(f"-d {name.rstrip('/')}", "lets it go") for name in together(desk.session.attached)]
