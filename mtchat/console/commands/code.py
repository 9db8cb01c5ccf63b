"""Opens the code of turn N in $EDITOR; what you save takes its place, and later turns are derived again.

Where the code that you save has a hole, <<fill>> or <<fill: compute the median>>, the model writes what
fits between the code above and below. It stands for lines or for a part of one, and there can be several. Of
some tries the first that runs is taken. Ctrl-C leaves the program as it was; /code N then opens your code.
A sign that cannot be shown stands in the editor by its name, as ⟦U+001B⟧, and comes back as it was.
Each later turn is kept if it still fits, else made again from its instruction, as /edit does. --ask asks for
each of them; in its place, --keep keeps the code of all, and --all makes all again. /goto before-edit-N goes
back to the program as it was.
"""

from mtchat.console.console import Console
from mtchat.console.editor import edited
from mtchat.features.infill.view import fill_and_show, unfinished_code
from mtchat.features.regenerate.view import FLAGS, parse_flag, recode
from mtchat.session.hole import first_hole

USAGE = "[N] [--ask]"


def do(console: Console, argument: str) -> None:
    given = parse_flag(argument)
    number = console.number(given.rest)
    old = console.session.numbered(number).chunk
    new = edited(
        (unfinished_code(console.session, number) or old) + "\n", console.session.language.suffix
    ).rstrip()
    if new == old.rstrip():
        console.view.note(
            f"the code is unchanged, so the program is too; /edit {number} changes what it is to do"
        )
        return
    filled = ""
    if first_hole(new):
        if not (new := fill_and_show(console, number, new)):
            return
        filled = console.chat.model.card().name
    console.view.say(f"turn {number} has your code now{filled and f', its holes filled by {filled}'}")
    recode(console, number, new, given.flag, filled)


def complete(console: Console) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]
