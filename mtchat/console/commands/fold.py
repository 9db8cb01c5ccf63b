"""Tells the model of turn K only imports, names, signatures and docstrings; the program keeps its code.

K may be several turns, as in /fold 1-3 5. /unfold K tells all of it again.
"""

from mtchat.console.console import Console
from mtchat.features.context.view import parse_turns, set_context, turn_choices
from mtchat.session.fold import folded
from mtchat.session.mark import FOLDED
from mtchat.session.memory import foldable
from mtchat.session.names import parses

USAGE = "K..."
PYTHON_ONLY = True


def do(console: Console, argument: str) -> None:
    for number in parse_turns(console.session, argument, "fold"):
        turn = console.session.numbered(number)
        if not foldable(turn):
            why = "is short as it is" if parses(turn.chunk) else "is no whole Python"
            console.view.note(f"turn {number} {why}, so it cannot be folded; /forget {number} drops it")
            continue
        console.chat.keep(set_context(console.session, number, FOLDED), "fold")
        console.view.say(
            f"turn {number} is folded; the program keeps its code, and the model sees this of it:"
        )
        console.view.code(folded(turn.chunk))


def complete(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)
