"""What an engine asks of a model, whoever computes it: paths of tokens, and the logits after them."""

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, TypeVar

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError

Logits = NDArray[numpy.float32]
P = TypeVar("P")


class Path(Protocol):
    """One sequence of tokens on its way. What it shares with any other that was seen is not computed again.

    `reused` tokens of the prompt were known. Between `follow` and `keep` no other path may follow.
    """

    reused: int

    def read(self) -> Iterator[Logits]:
        """Compute what is left of the prompt, in stretches: the logits (V,) after each."""
        ...

    def extend(self, ids: Sequence[int]) -> None:
        """The prompt goes on with these, which `read` computes."""
        ...

    def follow(self, ids: Sequence[int]) -> Logits:
        """The logits (T, V) after each of the next ids, none of which counts before `keep`."""
        ...

    def keep(self, count: int) -> None:
        """The first `count` of the ids that were followed belong to the sequence; the others do not."""
        ...

    def fork(self) -> Self:
        """The same sequence once more, to go on in another way."""
        ...


class Decoder(Protocol[P]):
    """A model that opens paths; for one thread at a time. It has embeddings for the ids below `rows`."""

    @property
    def rows(self) -> int: ...

    def open(self, ids: Sequence[int]) -> P: ...

    def follow_each(self, paths: Sequence[P], ids: Sequence[int]) -> Logits:
        """The logits (B, V) after one more id on each path; `keep(1)` makes it part of that path."""
        ...


def check_ids(ids: Sequence[int], rows: int) -> None:
    """ModelError where an id has no row in the embedding: reading there would be reading other memory."""
    odd = next((id for id in ids if not 0 <= id < rows), None)
    if odd is not None:
        raise ModelError(
            f"the model has no row for token {odd}, only for those below {rows}; its tokenizer is another "
            "model's: fetch both again"
        )
