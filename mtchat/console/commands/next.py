"""Takes TEXT as a new step, also where it reads like a change of an earlier one."""

from mtchat.console.console import Console
from mtchat.errors import UsageError

USAGE = "TEXT"


def do(console: Console, argument: str) -> None:
    if not argument.strip():
        raise UsageError("what is the next step? as in: /next make it print twice")
    console.take(argument.strip(), new=True)
