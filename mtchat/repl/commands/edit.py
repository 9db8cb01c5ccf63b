"""Changes the instruction of turn N and asks the model for that turn again.

Without TEXT the instruction comes up to be edited; without N it is the last turn's. Later turns keep their
code, and the old branch stays in the session.
"""

from mtchat.repl.desk import Desk

USAGE = "[N] [TEXT]"


def do(desk: Desk, argument: str) -> None:
    word, _, text = argument.strip().partition(" ")
    if word and not word.isdigit():
        word, text = "", argument
    number = desk.number(word)
    old = desk.session.numbered(number).instruction
    new = text.strip() or desk.ask(f"edit {number}› ", old).strip()
    if not new or new == old:
        desk.view.note("the instruction is unchanged")
        return
    base = desk.session.undo(len(desk.session.path) - number + 1)
    made = desk.maker(base.program.source).reword(desk.session, number, new, desk.settings.sampling)
    desk.finish(made, "edit")
