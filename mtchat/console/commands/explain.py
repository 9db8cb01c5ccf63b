"""Explains in plain words what happened last, a turn, a line of it, or the error.

/explain 3 explains turn 3 line by line, /explain 3:2 says more about its line 2, and /explain error why the
program fails: what is certain first, then the model's words. The program is not changed; Ctrl-C stops it.
"""

from mtchat.console.captions import one_line
from mtchat.console.console import Console
from mtchat.console.parsing import parse_number
from mtchat.errors import UsageError
from mtchat.features.explain.view import explain_error, explain_line, explain_turn
from mtchat.generate.running import failed

USAGE = "[N | N:LINE | error]"
PYTHON_ONLY = True


def do(console: Console, argument: str) -> None:
    word = argument.strip()
    last = console.number("")
    if word == "error" or (not word and failed(console.session.outcome)):
        explain_error(console)
        return
    turn, colon, line = word.partition(":")
    if word and not turn.strip().isdecimal():
        ways = f"/explain {last} is turn {last}, /explain {last}:1 its first line, /explain error the error"
        raise UsageError(f"explain what? not {one_line(word, 40)!r}: {ways}")
    chosen = console.number(turn)
    if colon:
        explain_line(console, chosen, parse_number(line, "the number of a line"))
    else:
        explain_turn(console, chosen)


def complete(console: Console) -> list[tuple[str, str]]:
    turns = [
        (str(at), one_line(turn.instruction, 50)) for at, turn in enumerate(console.session.path, start=1)
    ]
    return [*turns, ("error", "why the program fails")]
