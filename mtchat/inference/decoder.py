"""The interface of a model that decodes, on any device: token sequences, and the logits after them."""

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError

Floats = NDArray[numpy.float32]
Logits = Floats
S = TypeVar("S")
EXPECTED = 4  # positions where the latest prompts may part from the next ones


class TokenSequence(Protocol):
    """One sequence of tokens being decoded. A prefix that it shares with an earlier one is not recomputed.

    `cached` tokens of the prompt came from the KV cache. Between `forward` and `commit`, no other sequence
    of the decoder may call `forward`.
    """

    cached: int

    def prefill(self) -> Iterator[Logits]:
        """Compute the rest of the prompt, in chunks: the logits (V,) after each chunk."""
        ...

    def extend(self, ids: Sequence[int]) -> None:
        """Append ids to the prompt; the next `prefill` computes them."""
        ...

    def forward(self, ids: Sequence[int]) -> Logits:
        """Forward pass over the next ids: the logits (T, V) after each; uncommitted until `commit`."""
        ...

    def commit(self, count: int) -> None:
        """Append the first `count` ids of the last `forward` to the sequence and drop the others."""
        ...

    def fork(self) -> Self:
        """A copy of the sequence that goes on separately."""
        ...


class Decoder(Protocol[S]):
    """A model that opens sequences; for one thread at a time. It has embeddings for ids below `rows`."""

    @property
    def rows(self) -> int: ...

    def open(self, ids: Sequence[int]) -> S:
        """A sequence whose prompt is `ids`; nothing is computed before `prefill`."""
        ...

    def forward_each(self, sequences: Sequence[S], ids: Sequence[int]) -> Logits:
        """One more id for each sequence: the logits (B, V) after it; `commit(1)` appends the id."""
        ...


@runtime_checkable
class BranchingDecoder(Protocol):
    """A decoder that can go on from some positions only, and so wants to know where prompts will part."""

    def expect_branch(self, ids: Sequence[int]) -> None:
        """Later prompts may begin with `ids` and then part from the next one."""
        ...


class ExpectedBranches:
    """Where later prompts may part from the latest ones; other threads may add some while they are read."""

    def __init__(self) -> None:
        self.latest: tuple[list[int], ...] = ()

    def add(self, ids: Sequence[int]) -> None:
        self.latest = (*self.latest, list(ids))[-EXPECTED:]

    def within(self, ids: Sequence[int]) -> set[int]:
        """The positions in a prompt."""
        return {len(each) for each in self.latest if ids[: len(each)] == each}


def check_ids(ids: Sequence[int], rows: int) -> None:
    """ModelError if an id has no row in the embedding: looking it up would read foreign memory."""
    odd = next((id for id in ids if not 0 <= id < rows), None)
    if odd is not None:
        raise ModelError(
            f"token {odd} is outside the model's {rows} embedding rows: its tokenizer belongs to another "
            "model; download both again"
        )
