"""Commands that change or remove a turn in the middle: edit, code, drop."""

from mtchat.console.captions import step_name
from mtchat.console.console import Console
from mtchat.console.slash import Command
from mtchat.conversation import editing
from mtchat.errors import MtchatError, UsageError
from mtchat.features.infill.fill import unfinished_code
from mtchat.features.regenerate.view import FLAGS, parse_flag, recode, reword
from mtchat.session.hole import first_hole
from mtchat.session.names import describe_users

AGAIN = "your code is kept with its hole; /code {number} opens it again"


def do_edit(console: Console, argument: str) -> None:
    """Changes the instruction of turn N, generates that turn again, and updates the later turns.

    Without TEXT you edit the instruction on the screen; without N, that of the last turn. A later turn is
    kept if it still fits: it runs, the names that it uses exist and have the same types, and it contains
    no value that was replaced. Otherwise it is regenerated from its instruction. --ask asks about each
    later turn, --keep keeps all of them, --all regenerates all of them. Ctrl-C leaves the program
    unchanged; afterwards /goto before-edit-N returns to the old program.
    """
    given = parse_flag(argument)
    word, *rest = given.rest.split(maxsplit=1)[:2] or [""]
    if word and not word.isdecimal():
        word, rest = "", [given.rest]
    number = console.turn_number(word)
    old = console.session.turn_at(number).instruction_as_typed
    new = rest[0].strip() if rest else console.edit_line(f"edit {number}› ", old).strip()
    if not new or new == old:
        console.view.note(
            "the instruction is unchanged, so nothing was generated; /retry regenerates the last turn"
        )
        return
    reword(console, number, new, given.flag)


def complete_edit(console: Console) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]


def do_code(console: Console, argument: str) -> None:
    """Opens the code of turn N in $EDITOR; what you save replaces it, and the later turns are updated.

    Holes in the code, <<fill>> or <<fill: compute the median>>, are filled by the model to match the code
    around them. A hole stands for whole lines or for part of a line, and there can be several. Of several
    attempts the first that runs is used. Ctrl-C leaves the program unchanged; /code N then opens your
    code again. Characters that cannot be shown appear by name in the editor, such as ⟦U+001B⟧, and are
    restored. A later turn is kept if it still fits, otherwise regenerated from its instruction, as with
    /edit: --ask asks about each one, --keep keeps all, --all regenerates all. /goto before-edit-N returns
    to the old program.
    """
    given = parse_flag(argument)
    number = console.turn_number(given.rest)
    old = console.session.turn_at(number).chunk
    text = (unfinished_code(console.session, number) or old) + "\n"
    new = console.edit_code(text, console.session.language.suffix).rstrip()
    if new == old.rstrip():
        console.view.note(f"the code is unchanged; /edit {number} changes the instruction")
        return
    filled = ""
    if first_hole(new):
        if not (new := fill_and_show(console, number, new)):
            return
        filled = console.chat.model.card().name
    console.view.say(f"turn {number} now has your code{filled and f', its holes filled by {filled}'}")
    recode(console, number, new, given.flag, filled)


def complete_code(console: Console) -> list[tuple[str, str]]:
    return [(flag, "") for flag in FLAGS]


def fill_and_show(console: Console, number: int, code: str) -> str:
    """The code with each hole filled, after showing the difference; "" if the user interrupted it."""
    try:
        new = editing.fill_turn(console.chat, number, code)
    except KeyboardInterrupt:
        console.view.note(f"interrupted; the program is unchanged, and {AGAIN.format(number=number)}")
        return ""
    except MtchatError as error:
        raise type(error)(f"{error}\n{AGAIN.format(number=number)}") from error
    console.view.diff(code, new)
    return new


def do_drop(console: Console, argument: str) -> None:
    """Removes turn N and runs the program without it; the later turns keep their code.

    Instructions such as "delete step 5" do the same. /goto before-drop-N returns to the old program.
    """
    if not argument.strip():
        raise UsageError("drop which turn? /show lists them; /undo removes the last one")
    number, before = console.turn_number(argument), console.session
    turn = before.turn_at(number)
    console.prepare()
    edit = editing.drop_turn(console.chat, number)
    console.view.say(f"dropped: {step_name(turn)}")
    if uses := describe_users(before.path, number):
        console.view.note(f"{uses} from it")
    if number <= len(edit.after.path):
        console.show_turns(edit.after)
        console.chat.keep(console.chat.run_session(console.session), "drop")
        console.finish(before)
    console.view.note(f"/goto {edit.branch} returns to the old program")


def complete_drop(console: Console) -> list[tuple[str, str]]:
    return [(str(at), step_name(turn)) for at, turn in enumerate(console.session.path, start=1)]


COMMANDS = (
    Command("edit", do_edit, usage="[N] [--ask] [TEXT]", complete=complete_edit),
    Command("code", do_code, usage="[N] [--ask]", complete=complete_code),
    Command("drop", do_drop, usage="N", complete=complete_drop),
)
