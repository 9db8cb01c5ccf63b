"""Gives the session a name; every turn is saved as it is made.

The session's file and the folder of its runs' files are renamed; no other session is overwritten. A whole
path, such as /tmp/primes, saves the session there, and it goes on there: for when its own folder is full or
cannot be written.
"""

import os
from dataclasses import replace
from pathlib import Path

from mtchat.console.captions import short_path
from mtchat.console.desk import Desk
from mtchat.console.parsing import user_path
from mtchat.errors import MtchatError, UsageError
from mtchat.store import SUFFIX

USAGE = "[NAME]"


def do(desk: Desk, argument: str) -> None:
    name = argument.strip()
    if not name:
        again(desk)
        desk.view.say(f"saved in {short_path(desk.log.path)}; /save NAME gives it a name")
        return
    before, owned = desk.log.path, desk.tools.owned
    mine = [Path(file.path) for file in desk.session.attached if owned.has(before, file.path)]
    if (path := user_path(name)).is_absolute():
        if os.path.isdir(path):
            raise UsageError(f"{short_path(path)} is a folder; /save {short_path(path / 'NAME')} saves in it")
        desk.log.move_to(path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX), desk.session)
        desk.unsaved = ""
    else:
        desk.log.rename(name)
    desk.own(mine)
    desk.session = replace(desk.session, name=desk.log.name)
    if desk.unsaved:
        again(desk)
    desk.view.say(f"this session is now {short_path(desk.log.path)}")


def again(desk: Desk) -> None:
    """Saves what is not saved yet; an error where that cannot be done, or where there is nothing."""
    if not desk.session.turns:
        raise UsageError("nothing to save yet; /save NAME names the session")
    if not desk.log.saves(desk.session):
        desk.log.write(desk.session, "save")
    desk.unsaved = ""
    if not desk.log.path.exists():
        raise MtchatError(f"{short_path(desk.log.path)} is gone; the next turn writes it again in full")
