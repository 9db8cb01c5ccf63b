"""Commands that change or remove a turn in the middle: edit, code, drop."""

from mtchat.console.command import Command
from mtchat.console.console import Console
from mtchat.conversation import editing
from mtchat.errors import MtchatError, UsageError
from mtchat.features.correction.view import step_name
from mtchat.features.infill.fill import unfinished_code
from mtchat.features.regenerate.view import FLAGS, parse_flag, recode, reword
from mtchat.session.dependencies import said
from mtchat.session.hole import first_hole

AGAIN = "your code is kept with its hole; /code {number} opens it again"


def do_edit(console: Console, argument: str) -> None:
    """Changes the instruction of turn N, asks for that turn again, and derives the later ones again.

    Without TEXT the instruction comes up to be edited; without N it is the last turn's. Each later turn is
    kept if it still fits: it runs, the names that it uses are there and are what they were, and it has no
    value that was replaced. Else the model makes it again from its instruction. --ask asks for each of
    them; in its place, --keep keeps the code of all, and --all makes all again. Ctrl-C leaves the program
    as it was; afterwards /goto before-edit-N goes back to it.
    """
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


def complete_edit(console: Console) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]


def do_code(console: Console, argument: str) -> None:
    """Opens the code of turn N in $EDITOR; what you save takes its place, and later turns are derived again.

    Where the code that you save has a hole, <<fill>> or <<fill: compute the median>>, the model writes what
    fits between the code above and below. It stands for lines or for a part of one, and there can be
    several. Of some tries the first that runs is taken. Ctrl-C leaves the program as it was; /code N then
    opens your code. A sign that cannot be shown stands in the editor by its name, as ⟦U+001B⟧, and comes
    back as it was. Each later turn is kept if it still fits, else made again from its instruction, as /edit
    does. --ask asks for each of them; in its place, --keep keeps the code of all, and --all makes all
    again. /goto before-edit-N goes back to the program as it was.
    """
    given = parse_flag(argument)
    number = console.number(given.rest)
    old = console.session.numbered(number).chunk
    text = (unfinished_code(console.session, number) or old) + "\n"
    new = console.edit_code(text, console.session.language.suffix).rstrip()
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


def complete_code(console: Console) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]


def fill_and_show(console: Console, number: int, code: str) -> str:
    """The code with each hole filled, after showing the difference; "" if the user interrupted it."""
    try:
        new = editing.fill(console.chat, number, code)
    except KeyboardInterrupt:
        console.view.note(f"interrupted; the program is unchanged, and {AGAIN.format(number=number)}")
        return ""
    except MtchatError as error:
        raise type(error)(f"{error}\n{AGAIN.format(number=number)}") from error
    console.view.diff(code, new)
    return new


def do_drop(console: Console, argument: str) -> None:
    """Drops step N; the later ones keep their code, and the program is run without it.

    So does an instruction such as: delete step 5. /goto before-drop-N goes back to the program with it.
    """
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
        console.chat.keep(console.chat.run_session(console.session), "drop")
        console.finish(before)
    console.view.note(f"/goto {edit.branch} goes back to the program with it")


def complete_drop(console: Console) -> list[tuple[str, str]]:
    return [(str(at), step_name(turn)) for at, turn in enumerate(console.session.path, start=1)]


COMMANDS = (
    Command("edit", do_edit, usage="[N] [--ask] [TEXT]", complete=complete_edit),
    Command("code", do_code, usage="[N] [--ask]", complete=complete_code),
    Command("drop", do_drop, usage="N", complete=complete_drop),
)
