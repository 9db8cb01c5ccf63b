"""Completes slash commands, with their help, and their arguments."""

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from mtchat.console import slash
from mtchat.console.console import Console
from mtchat.errors import PluginError
from mtchat.session.text import escape_controls

LAST_WORD = re.compile(r"(?:[^\s\\<]|\\.)*$")
MOST_FILES = 500

Choices = Iterable[tuple[str, str]]


class SlashCompleter(Completer):
    """Offers commands after a slash at the start of the input, then the command's own completions."""

    def __init__(self, console: Callable[[], Console]) -> None:
        self.console = console

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            yield from complete_rows(((each.name, each.meaning) for each in slash.commands()), name)
        elif name in slash.names():
            command = slash.find(name)
            if command.complete is not None and " " not in argument:
                with suppress(PluginError):  # the command itself says what is wrong with its package
                    yield from complete_rows(command.complete(self.console()), argument)
            if command.paths is not None and command.paths in argument:
                yield from complete_path(argument)


def complete_rows(rows: Choices, start: str) -> Iterable[Completion]:
    """The rows that begin with `start`; names with control characters are left out."""
    for text, meaning in rows:
        if text.startswith(start) and text == escape_controls(text):
            yield Completion(text, start_position=-len(start), display_meta=escape_controls(meaning))


def complete_path(argument: str) -> Iterable[Completion]:
    """Completions of the last word as a path, with a backslash before each space."""
    found = LAST_WORD.search(argument)
    word = re.sub(r"\\(.)", r"\1", found[0]) if found else ""
    folder, _, start = word.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + "/" if "/" in word else ".")) as entries:
            found_there = (
                entry.name + "/" * entry.is_dir()
                for entry in entries
                if entry.name.startswith(start) and entry.name.startswith(".") == start.startswith(".")
            )
            names = sorted(islice(found_there, MOST_FILES))
    except (OSError, ValueError):
        return
    for name in names:
        if name.isprintable():
            yield Completion(re.sub(r"([\s\\'\"<])", r"\\\1", name[len(start) :]), display=name)
