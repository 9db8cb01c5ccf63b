"""Changes the instruction of turn N and asks the model for that turn again.

Without TEXT the instruction comes up to be edited; without N it is the last turn's. Later turns keep their
code, and the old branch stays in the session.
"""

from mtchat.repl.desk import Desk

USAGE = "[N] [TEXT]"


def do(desk: Desk, argument: str) -> None:
    word, *rest = argument.split(maxsplit=1)[:2] or [""]
    if word and not word.isdecimal():
        word, rest = "", [argument]
    number = desk.number(word)
    old = desk.session.numbered(number).instruction
    new = rest[0].strip() if rest else desk.ask(f"edit {number}› ", old).strip()
    if not new or new == old:
        desk.view.note(
            "the instruction is unchanged, so nothing is asked; /retry asks for the last turn again"
        )
        return
    before = desk.session
    source = before.undo(len(before.path) - number + 1).program.source
    made = desk.maker(source).reword(before, number, new, desk.settings.sampling)
    desk.finish(before, made, "edit")
