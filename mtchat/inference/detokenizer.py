"""Turns a stream of token ids into text without splitting characters; the pieces add up to the whole text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtchat.inference.tokens.tokenizer import Tokenizer

REPLACEMENT = "\ufffd"
WINDOW = 16  # ids that are decoded again with the next ones


@dataclass(frozen=True)
class Vocabulary:
    """How ids become text: `hidden` ids have none; a run of `byte_pieces` is decoded as one.

    `stop_ids` end a completion.
    """

    decode: Callable[[list[int]], str]
    hidden: frozenset[int] = frozenset()
    byte_pieces: frozenset[int] = frozenset()
    stop_ids: frozenset[int] = frozenset()


def vocabulary_of(
    tokenizer: Any, stop_ids: frozenset[int] = frozenset(), shown: frozenset[str] = frozenset()
) -> Vocabulary:
    """The vocabulary of a tokenizer, ours or one of transformers, with its special tokens hidden.

    `shown` are special tokens that have a text all the same, such as those that close a thought.
    """
    tokens = Tokenizer.of(tokenizer)
    hidden = tokens.hidden - {tokens.id_of(name) for name in shown}

    def decode(ids: list[int]) -> str:
        return tokens.decode([id for id in ids if id not in hidden])

    names = {form.format(byte) for byte in range(256) for form in ("<0x{:02X}>", "<0x{:02x}>")}
    pieces = {id for name in names if (id := tokens.id_of(name)) is not None}
    return Vocabulary(decode, hidden, frozenset(pieces), stop_ids)


class Detokenizer:
    """The text of the ids pushed so far; a leading space may depend on the ids before them, `context`."""

    def __init__(self, vocabulary: Vocabulary, context: Sequence[int] = ()) -> None:
        self.vocabulary = vocabulary
        self.window = self.last_ids([id for id in context[-WINDOW:] if id not in vocabulary.hidden])
        self.shown = len(vocabulary.decode(self.window))

    def push(self, *ids: int) -> str:
        """The text that these ids complete; "" while its last character may still change."""
        visible = [id for id in ids if id not in self.vocabulary.hidden]
        self.window += visible
        if not visible or visible[-1] in self.vocabulary.byte_pieces:
            return ""
        text = self.vocabulary.decode(self.window)
        whole = not text.endswith(REPLACEMENT)
        new = self.take_new(text if whole else text[:-1])
        if whole and len(self.window) > 2 * WINDOW:
            self.window = self.last_ids(self.window)
            self.shown = len(self.vocabulary.decode(self.window))
        return new

    def finish(self) -> str:
        """The rest of the text; bytes that never became a character show as U+FFFD."""
        return self.take_new(self.vocabulary.decode(self.window))

    def take_new(self, text: str) -> str:
        new = text[self.shown :]
        self.shown = max(self.shown, len(text))
        return new

    def last_ids(self, ids: list[int]) -> list[int]:
        """The last ids, starting at one that decodes by itself: not within a run of byte pieces."""
        start = max(len(ids) - WINDOW, 0)
        while start > 0 and ids[start] in self.vocabulary.byte_pieces:
            start -= 1
        return ids[start:]
