"""Finishes the code of turn N: one that was interrupted, or that left bodies open with pass, ... or TODO.

What was interrupted goes on from its last whole line. The program is run with the finished code; where it ran
before and would fail, or something is still open, the code is not taken. Later turns keep their code, and the
old branch stays in the session.
"""

from mtchat.console.console import Console
from mtchat.features.rework.rework import complete_turn
from mtchat.features.rework.view import run_rework, show_result

USAGE = "[N]"
PYTHON_ONLY = True


def do(console: Console, argument: str) -> None:
    number = console.number(argument)
    sampling = console.chat.settings.sampling
    reworked = run_rework(
        console, number, lambda generator, session: complete_turn(generator, session, number, sampling)
    )
    show_result(console, reworked, f"turn {number} is finished")
    if not reworked.taken:
        console.view.note(f"/complete {number} asks again, /code {number} lets you finish it by hand")
