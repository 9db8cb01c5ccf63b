"""Rewrites the code of turn N cleaner, without changing what the program does.

WISH says how, as in: /refactor 2 use a list comprehension. The program is run before and after: what each
turn prints, all variables, and what its functions give for simple values must agree, or the new code is not
taken, and what differs is said. Files that it writes are not compared. The old branch stays in the session.
"""

from mtchat.console.console import Console
from mtchat.features.rework.rework import refactor_turn
from mtchat.features.rework.view import run_rework, show_result

USAGE = "[N] [WISH]"
PYTHON_ONLY = True


def do(console: Console, argument: str) -> None:
    word, *rest = argument.split(maxsplit=1)[:2] or [""]
    if word and not word.isdecimal():
        word, rest = "", [argument]
    number = console.number(word)
    wish, sampling = (rest[0].strip() if rest else ""), console.chat.settings.sampling
    reworked = run_rework(
        console, number, lambda generator, session: refactor_turn(generator, session, number, wish, sampling)
    )
    show_result(console, reworked, f"the program does the same: {reworked.compared} agree")
    if not reworked.taken:
        console.view.note(f"/refactor {number} asks again, and with a wish behind it in another way")
