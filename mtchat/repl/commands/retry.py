"""Asks the model for the last turn again, warmer so that it differs.

The first try stays beside it in the session.
"""

from mtchat.repl.desk import Desk


def do(desk: Desk, argument: str) -> None:
    desk.number("")
    maker = desk.maker(desk.session.undo().program.source)
    desk.finish(maker.retry(desk.session, desk.settings.sampling), "retry")
