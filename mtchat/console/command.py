"""What a slash command is: its name, how it is typed, and what it does on a console."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mtchat.console.console import Console

Rows = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Command:
    """A slash command. The docstring of `do` is its help, and the first line of it says what it is for.

    `usage` shows its arguments, `complete` offers some with what they mean, and where `paths` is in what was
    typed, names of files are offered ("" for anywhere, None for nowhere). One that is `python_only` needs a
    program in Python.
    """

    name: str
    do: Callable[[Console, str], None]
    usage: str = ""
    complete: Callable[[Console], Rows] | None = None
    paths: str | None = None
    python_only: bool = False

    @property
    def help(self) -> str:
        return inspect.getdoc(self.do) or ""

    @property
    def meaning(self) -> str:
        """Its help in one line."""
        return self.help.split("\n", 1)[0]

    @property
    def words(self) -> str:
        """How it is typed."""
        return f"/{self.name} {self.usage}".rstrip()
