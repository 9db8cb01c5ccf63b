"""Drops step N; the later ones keep their code, and the program is run without it.

So does an instruction such as: delete step 5. /goto before-drop-N goes back to the program with it.
"""

from mtchat.console.desk import Desk
from mtchat.errors import UsageError
from mtchat.features.correction.view import step_name
from mtchat.features.regenerate.view import with_name
from mtchat.generate.running import kept, tried
from mtchat.session.dependencies import said
from mtchat.session.session import Session

USAGE = "N"


def do(desk: Desk, argument: str) -> None:
    if not argument.strip():
        raise UsageError("drop which step? /show shows them; /undo takes back the last one")
    number, before = desk.number(argument), desk.session
    turn = before.numbered(number)
    desk.approval.reset()
    made, name = with_name(dropped(before, number), before.head, f"before-drop-{number}")
    desk.keep(made, "drop")
    desk.view.say(f"dropped: {step_name(turn)}")
    if uses := said(before.path, number):
        desk.view.note(f"{uses} of it")
    if number <= len(made.path):
        made = tried(made, desk.runner(), desk.watcher(made.program.source))
        desk.finish(before, made, "drop")
    desk.view.note(f"/goto {name} goes back to the program with it")


def dropped(session: Session, number: int) -> Session:
    """The session without a turn; the later ones keep their code."""
    base = session.undo(len(session.path) - number + 1)
    return kept(base, session.path[number:])


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(str(at), step_name(turn)) for at, turn in enumerate(desk.session.path, start=1)]
