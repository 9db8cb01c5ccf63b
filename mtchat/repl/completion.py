"""Completes slash commands, with what they do, and their arguments."""

from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from mtchat import registry
from mtchat.repl import slash
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
            yield from matching(((each.name, each.meaning) for each in slash.commands()), name)
        elif name in slash.names() and " " not in argument:
            offered = getattr(registry.load(slash.COMMANDS, name), "complete", None)
            if offered is not None:
                yield from matching(offered(self.desk()), argument)


def matching(rows: Rows, start: str) -> Iterable[Completion]:
    for text, meaning in rows:
        if text.startswith(start):
            yield Completion(text, start_position=-len(start), display_meta=escaped(meaning))
