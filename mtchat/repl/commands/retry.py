"""Asks the model for the last turn again, warmer so that it differs.

The first try stays beside it in the session.
"""

from mtchat.repl.desk import Desk


def do(desk: Desk, argument: str) -> None:
    desk.number("")
    maker = desk.maker(desk.session.undo().program.source)
    before = desk.session
    desk.finish(before, maker.retry(before, desk.settings.sampling), "retry")
