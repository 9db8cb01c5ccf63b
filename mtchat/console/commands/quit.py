"""Leaves; everything is saved."""

from mtchat.console.desk import Desk, Leave


def do(desk: Desk, argument: str) -> None:
    raise Leave
