"""Changes the instruction of turn N, asks for that turn again, and derives the later ones again.

Without TEXT the instruction comes up to be edited; without N it is the last turn's. Each later turn is kept
if it still fits: it runs, the names that it uses are there and are what they were, and it has no value that
was replaced. Else the model makes it again from its instruction. --ask asks for each of them; in its place,
--keep keeps the code of all, and --all makes all again. Ctrl-C leaves the program as it was; afterwards
/goto before-edit-N goes back to it.
"""

from mtchat.console.desk import Desk
from mtchat.features.regenerate.view import FLAGS, reword, words

USAGE = "[N] [--ask] [TEXT]"


def do(desk: Desk, argument: str) -> None:
    given = words(argument)
    word, *rest = given.rest.split(maxsplit=1)[:2] or [""]
    if word and not word.isdecimal():
        word, rest = "", [given.rest]
    number = desk.number(word)
    old = desk.session.numbered(number).shown
    new = rest[0].strip() if rest else desk.ask(f"edit {number}› ", old).strip()
    if not new or new == old:
        desk.view.note(
            "the instruction is unchanged, so nothing is asked; /retry asks for the last turn again"
        )
        return
    reword(desk, number, new, given.flag)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]
