"""Leaves; everything is saved."""

from mtchat.console.console import Console, Leave


def do(console: Console, argument: str) -> None:
    raise Leave
