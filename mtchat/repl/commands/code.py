"""Opens the code of turn N in $EDITOR; what you save takes its place.

Later turns keep their code, and the old branch stays in the session.
"""

from mtchat.repl.desk import Desk
from mtchat.repl.editor import edited
from mtchat.synthesis import rewrite

USAGE = "[N]"


def do(desk: Desk, argument: str) -> None:
    number = desk.number(argument)
    old = desk.session.numbered(number).chunk
    new = edited(old + "\n", ".py").rstrip()
    if new == old.rstrip():
        desk.view.note(
            f"the code is unchanged, so the program is too; /edit {number} changes what it is to do"
        )
        return
    desk.view.line(f"turn {number} has your code now")
    made = rewrite(desk.session, number, new, desk.runner(), desk.watcher(""))
    desk.finish(desk.session, made, "code")
