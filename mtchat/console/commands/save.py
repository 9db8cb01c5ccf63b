"""Gives the session a name; every turn is saved as it is made.

The session's file and the folder of its runs' files are renamed; no other session is overwritten. A whole
path, such as /tmp/primes, saves the session there, and it goes on there: for when its own folder is full or
cannot be written.
"""

import os
from dataclasses import replace
from pathlib import Path

from mtchat.console.captions import short_path
from mtchat.console.console import Console
from mtchat.console.parsing import user_path
from mtchat.errors import MtchatError, UsageError
from mtchat.store import SUFFIX

USAGE = "[NAME]"


def do(console: Console, argument: str) -> None:
    name = argument.strip()
    if not name:
        again(console)
        console.view.say(f"saved in {short_path(console.log.path)}; /save NAME gives it a name")
        return
    before, owned = console.log.path, console.chat.owned
    mine = [Path(file.path) for file in console.session.attached if owned.has(before, file.path)]
    if (path := user_path(name)).is_absolute():
        if os.path.isdir(path):
            raise UsageError(f"{short_path(path)} is a folder; /save {short_path(path / 'NAME')} saves in it")
        console.log.move_to(
            path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX), console.session
        )
        console.chat.unsaved = ""
    else:
        console.log.rename(name)
    console.chat.own(mine)
    console.chat.session = replace(console.session, name=console.log.name)
    if console.chat.unsaved:
        again(console)
    console.view.say(f"this session is now {short_path(console.log.path)}")


def again(console: Console) -> None:
    """Saves what is not saved yet; an error where that cannot be done, or where there is nothing."""
    if not console.session.turns:
        raise UsageError("nothing to save yet; /save NAME names the session")
    if not console.log.saves(console.session):
        console.log.write(console.session, "save")
    console.chat.unsaved = ""
    if not console.log.path.exists():
        raise MtchatError(f"{short_path(console.log.path)} is gone; the next turn writes it again in full")
