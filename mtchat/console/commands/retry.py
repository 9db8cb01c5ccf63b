"""Asks the model for the last turn again, warmer so that it differs; with N, for so many tries.

Those that do the same are shown as one, by what they print, change or fail with, and you choose by a number.
Every try stays in the session: /pick shows them again.
"""

from mtchat.console.console import Console
from mtchat.console.parsing import parse_count
from mtchat.errors import UsageError

USAGE = "[N]"
MOST = 64


def do(console: Console, argument: str) -> None:
    count = parse_count(argument)
    if count > MOST:
        raise UsageError(f"at most {MOST} tries at once")
    console.number("")
    if count > 1:
        console.compare(count)
        return
    console.retry()
