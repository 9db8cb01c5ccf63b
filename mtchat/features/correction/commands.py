"""The command /correct."""

from mtchat.console.console import Console
from mtchat.console.slash import Command
from mtchat.errors import UsageError


def do_correct(console: Console, argument: str) -> None:
    """Changes turn N, or the turn that TEXT refers to, as TEXT says, and others only where they must follow.

    An instruction that reads like a correction ("make it case-insensitive", "rename total to balance") is
    treated as one even without this command. /undo restores the turns that it changed.
    """
    console.turn_number("")
    word, _, rest = argument.strip().partition(" ")
    number = console.turn_number(word) if word.isdecimal() and rest.strip() else 0
    text = rest.strip() if number else argument.strip()
    if not text:
        raise UsageError("what should change? For example: /correct 2 make it case-insensitive")
    if number and not console.session.turn_at(number).chunk.strip():
        raise UsageError(f"turn {number} has no code to change yet; /code {number} lets you write it")
    console.correct(text, number)


COMMANDS = (Command("correct", do_correct, usage="[N] TEXT", python_only=True),)
