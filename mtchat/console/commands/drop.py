"""Drops step N; the later ones keep their code, and the program is run without it.

So does an instruction such as: delete step 5. /goto before-drop-N goes back to the program with it.
"""

from mtchat.console.console import Console
from mtchat.conversation import editing
from mtchat.errors import UsageError
from mtchat.features.correction.view import step_name
from mtchat.session.dependencies import said

USAGE = "N"


def do(console: Console, argument: str) -> None:
    if not argument.strip():
        raise UsageError("drop which step? /show shows them; /undo takes back the last one")
    number, before = console.number(argument), console.session
    turn = before.numbered(number)
    console.prepare()
    edit = editing.drop(console.chat, number)
    console.view.say(f"dropped: {step_name(turn)}")
    if uses := said(before.path, number):
        console.view.note(f"{uses} of it")
    if number <= len(edit.after.path):
        console.show_turns(edit.after)
        console.chat.keep(console.chat.tried(console.session), "drop")
        console.finish(before)
    console.view.note(f"/goto {edit.branch} goes back to the program with it")


def complete(console: Console) -> list[tuple[str, str]]:
    return [(str(at), step_name(turn)) for at, turn in enumerate(console.session.path, start=1)]
