"""Opens the code of turn N in $EDITOR; what you save takes its place, and later turns are derived again.

Each later turn is kept if it still fits, else made again from its instruction, as /edit does. --ask asks for
each of them; in its place, --keep keeps the code of all, and --all makes all again. /goto before-edit-N goes
back to the program as it was.
"""

from mtchat.repl.desk import Desk
from mtchat.repl.editor import edited
from mtchat.repl.rederiving import FLAGS, recode, words

USAGE = "[N] [--ask]"


def do(desk: Desk, argument: str) -> None:
    given = words(argument)
    number = desk.number(given.rest)
    old = desk.session.numbered(number).chunk
    new = edited(old + "\n", desk.session.language.suffix).rstrip()
    if new == old.rstrip():
        desk.view.note(
            f"the code is unchanged, so the program is too; /edit {number} changes what it is to do"
        )
        return
    desk.view.line(f"turn {number} has your code now")
    recode(desk, number, new, given.flag)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]
