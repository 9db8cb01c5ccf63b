"""Asks the model for the last turn again, warmer so that it differs; with N, for so many tries.

Those that do the same are shown as one, by what they print, change or fail with, and you choose by a number.
Every try stays in the session: /pick shows them again.
"""

from mtchat.console.desk import Desk
from mtchat.console.parsing import parse_count
from mtchat.errors import UsageError

USAGE = "[N]"
MOST = 64


def do(desk: Desk, argument: str) -> None:
    count = parse_count(argument)
    if count > MOST:
        raise UsageError(f"at most {MOST} tries at once")
    desk.number("")
    if count > 1:
        desk.compare(count)
        return
    generator = desk.generator(desk.session.undo().program.source)
    before = desk.session
    desk.finish(before, generator.retry(before, desk.settings.sampling), "retry")
