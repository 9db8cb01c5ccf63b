"""Completes slash commands, with what they do, and their arguments."""

from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from mtchat import registry
from mtchat.repl.commands.help import COMMANDS, table
from mtchat.repl.desk import Desk
from mtchat.repl.escape import escaped

Rows = Iterable[tuple[str, str]]


class Slash(Completer):
    """Offers commands after a slash at the start of the input, then what the command's file offers."""

    def __init__(self, desk: Callable[[], Desk]) -> None:
        self.desk = desk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            yield from matching(((command, meaning) for command, _, meaning in table()), name)
        elif name in registry.names(COMMANDS) and " " not in argument:
            offered = getattr(registry.load(COMMANDS, name), "complete", None)
            if offered is not None:
                yield from matching(offered(self.desk()), argument)


def matching(rows: Rows, start: str) -> Iterable[Completion]:
    for text, meaning in rows:
        if text.startswith(start):
            yield Completion(text, start_position=-len(start), display_meta=escaped(meaning))
