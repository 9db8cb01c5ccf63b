"""The command line: argv in, exit code out; the only room that wires the others together."""

from mtchat.cli.main import main

__all__ = ["main"]
