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
from mtchat.console.console import Console
from mtchat.console.parsing import match_files, split_words
from mtchat.errors import UsageError
from mtchat.session.given import Attached
from mtchat.store import attach, detach

USAGE = "[-d] [FILE...]"
PYTHON_ONLY = True
PATHS = ""


def do(console: Console, argument: str) -> None:
    names = split_words(argument)
    if names[:1] == ("-d",):
        if not names[1:]:
            raise UsageError("let which file go? /attach lists them")
        console.chat.keep(detach(console.session, names[1:]), "attach")
        console.view.say(f"programs do not get {', '.join(names[1:])} any more")
        return
    if not names:
        listing(console)
        return
    paths = [path for name in names for path in match_files(name)]
    console.chat.keep(attach(console.session, paths, console.chat.settings.disk_mib), "attach")
    console.chat.own(paths)
    for name, files in together(console.session.attached).items():
        if name.rstrip("/") in {Path(os.path.abspath(path)).name for path in paths}:
            console.view.say(f"{name}, {whole(files)}: the program opens it as {files[0].name!r}")
    if console.session.path:
        console.view.note("/run runs the program with it")


def listing(console: Console) -> None:
    if not console.session.attached:
        console.view.say("no file is attached; /attach FILE gives programs a copy of one")
    rows = []
    for name, files in together(console.session.attached).items():
        depth = files[0].name.count("/") if name.endswith("/") else 0
        rows.append((name, whole(files), short_path(Path(*Path(files[0].path).parts[: -depth or None]))))
    console.view.table(rows, (40, 22))


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


def complete(console: Console) -> list[tuple[str, str]]:
    return [(f"-d {name.rstrip('/')}", "lets it go") for name in together(console.session.attached)]
