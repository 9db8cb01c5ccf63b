"""Changes the instruction of turn N, asks for that turn again, and derives the later ones again.

Without TEXT the instruction comes up to be edited; without N it is the last turn's. Each later turn is kept
if it still fits: it runs, the names that it uses are there and are what they were, and it has no value that
was replaced. Else the model makes it again from its instruction. --ask asks for each of them; in its place,
--keep keeps the code of all, and --all makes all again. Ctrl-C leaves the program as it was; afterwards
/goto before-edit-N goes back to it.
"""

from mtchat.console.console import Console
from mtchat.features.regenerate.view import FLAGS, parse_flag, reword

USAGE = "[N] [--ask] [TEXT]"


def do(console: Console, argument: str) -> None:
    given = parse_flag(argument)
    word, *rest = given.rest.split(maxsplit=1)[:2] or [""]
    if word and not word.isdecimal():
        word, rest = "", [given.rest]
    number = console.number(word)
    old = console.session.numbered(number).shown
    new = rest[0].strip() if rest else console.edit_line(f"edit {number}› ", old).strip()
    if not new or new == old:
        console.view.note(
            "the instruction is unchanged, so nothing is asked; /retry asks for the last turn again"
        )
        return
    reword(console, number, new, given.flag)


def complete(console: Console) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]
