"""Gives the session a name; every turn is saved as it is made.

The session's file and the folder of its runs' files are renamed; no other session is overwritten.
"""

from dataclasses import replace

from mtchat.errors import UsageError
from mtchat.repl.desk import Desk
from mtchat.repl.view import shown

USAGE = "NAME"


def do(desk: Desk, argument: str) -> None:
    if not argument.strip():
        if not desk.session.turns:
            raise UsageError("nothing to save yet; /save NAME names the session")
        desk.view.say(f"saved in {shown(desk.log.path)}; /save NAME gives it a name")
        return
    desk.log.rename(argument.strip())
    desk.session = replace(desk.session, name=desk.log.name)
    desk.view.say(f"this session is now {shown(desk.log.path)}")
