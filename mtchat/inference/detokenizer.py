"""Turns a stream of token ids into text, never half a character, whose sum is the text of all ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtchat.inference.tokens.tokenizer import Tokenizer

REPLACEMENT = "\ufffd"
WINDOW = 16


@dataclass(frozen=True)
class Vocabulary:
    """How ids become text: `hidden` ones have none; a run of `pieces` (single bytes) is decoded as one."""

    decode: Callable[[list[int]], str]
    hidden: frozenset[int] = frozenset()
    pieces: frozenset[int] = frozenset()


def vocabulary(tokenizer: Any) -> Vocabulary:
    """That of a tokenizer, ours or one of transformers, without its hidden tokens."""
    tokens = Tokenizer.of(tokenizer)

    def decode(ids: list[int]) -> str:
        return tokens.decode(ids, skip_special_tokens=True)

    names = {form.format(byte) for byte in range(256) for form in ("<0x{:02X}>", "<0x{:02x}>")}
    pieces = {id for name in names if (id := tokens.number(name)) is not None}
    return Vocabulary(decode, tokens.hidden, frozenset(pieces))


class Detokeniser:
    """Text of the ids pushed so far; on the ids before them, `context`, a leading space may depend."""

    def __init__(self, vocabulary: Vocabulary, context: Sequence[int] = ()) -> None:
        self.vocabulary = vocabulary
        self.window = self.anchor([id for id in context[-WINDOW:] if id not in vocabulary.hidden])
        self.shown = len(vocabulary.decode(self.window))

    def push(self, *ids: int) -> str:
        """The text that these ids complete, "" when its last character may still change."""
        seen = [id for id in ids if id not in self.vocabulary.hidden]
        self.window += seen
        if not seen or seen[-1] in self.vocabulary.pieces:
            return ""
        text = self.vocabulary.decode(self.window)
        whole = not text.endswith(REPLACEMENT)
        new = self.show(text if whole else text[:-1])
        if whole and len(self.window) > 2 * WINDOW:
            self.window = self.anchor(self.window)
            self.shown = len(self.vocabulary.decode(self.window))
        return new

    def finish(self) -> str:
        """The rest: bytes that never became a character show as U+FFFD."""
        return self.show(self.vocabulary.decode(self.window))

    def show(self, text: str) -> str:
        new = text[self.shown :]
        self.shown = max(self.shown, len(text))
        return new

    def anchor(self, ids: list[int]) -> list[int]:
        """The last ids, from one that decodes by itself: not within a run of byte pieces."""
        start = max(len(ids) - WINDOW, 0)
        while start > 0 and ids[start] in self.vocabulary.pieces:
            start -= 1
        return ids[start:]
