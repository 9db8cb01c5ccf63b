"""Token sequences over a prefix tree: each token has a KV slot of its own, on any device."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy
from numpy.typing import NDArray

from mtchat.inference.decoder import Logits
from mtchat.inference.prefix_tree import PrefixTree
from mtchat.inference.sampler import logprob

GROWTH = 256  # slots that the slot table grows by
Ints = NDArray[numpy.int32]


class CachedSequence:
    """A sequence whose tokens are nodes of the prefix tree.

    `slots` (capacity,) holds the slots of its `length` committed tokens, then those of the uncommitted ones;
    `pending` are prompt ids that are not computed yet.
    """

    def __init__(self, decoder: "CachedDecoder", ids: Sequence[int]) -> None:
        self.decoder = decoder
        nodes = decoder.tree.match_prefix(ids[:-1])
        self.cached = len(nodes)
        self.last = nodes[-1] if nodes else decoder.tree.root
        self.slots: Ints = numpy.empty(len(ids) + GROWTH, numpy.int32)
        self.slots[: len(nodes)] = [node.slot for node in nodes]
        self.length = len(nodes)
        self.pending = list(ids[len(nodes) :])
        self.uncommitted: list[int] = []
        decoder.live.add(self)

    def prefill(self) -> Iterator[Logits]:
        while self.pending:
            chunk = self.pending[: self.decoder.max_step_tokens]
            logits = self.decoder.compute([(self, chunk)], [len(chunk) - 1])
            self.commit(len(chunk))
            self.pending = self.pending[self.decoder.max_step_tokens :]
            yield logits[0]

    def extend(self, ids: Sequence[int]) -> None:
        self.pending += ids

    def forward(self, ids: Sequence[int]) -> Logits:
        return self.decoder.compute([(self, ids)], range(len(ids)))

    def commit(self, count: int) -> None:
        for id in self.uncommitted[:count]:
            self.last = self.decoder.tree.insert(self.last, id, int(self.slots[self.length]))
            self.slots[self.length] = self.last.slot
            self.length += 1
        self.uncommitted = []

    def fork(self) -> "CachedSequence":
        twin: CachedSequence = object.__new__(CachedSequence)
        twin.decoder, twin.cached, twin.last = self.decoder, self.cached, self.last
        twin.slots, twin.length = self.slots.copy(), self.length
        twin.pending, twin.uncommitted = list(self.pending), []
        self.decoder.live.add(twin)
        return twin

    def reserve(self, slots: Sequence[int]) -> Ints:
        """Append slots for uncommitted tokens: the slots (length + N,) that the last of these sees."""
        end = self.length + len(slots)
        if end > len(self.slots):
            self.slots = numpy.concatenate([self.slots, numpy.empty(len(slots) + GROWTH, numpy.int32)])
        self.slots[self.length : end] = slots
        return self.slots[:end]


class CachedDecoder(ABC):
    """A model with a prefix tree of its KV cache; one step computes at most `max_step_tokens` tokens."""

    max_step_tokens: ClassVar[int]
    max_scored_tokens: ClassVar[int] = (
        256  # of one step, of which each takes logits as wide as the vocabulary
    )

    def __init__(self, capacity: int) -> None:
        self.tree = PrefixTree(capacity)
        self.live: weakref.WeakSet[CachedSequence] = weakref.WeakSet()

    def open(self, ids: Sequence[int]) -> CachedSequence:
        return CachedSequence(self, ids)

    def forward_each(self, sequences: Sequence[CachedSequence], ids: Sequence[int]) -> Logits:
        parts = [
            self.compute([(sequence, [id]) for sequence, id in some], range(len(some)))
            for some in chunks(list(zip(sequences, ids, strict=True)), self.max_step_tokens)
        ]
        return parts[0] if len(parts) == 1 else numpy.concatenate(parts)

    def compute(self, parts: Sequence[tuple[CachedSequence, Sequence[int]]], wanted: Sequence[int]) -> Logits:
        """Forward pass over the next ids of some sequences; they stay uncommitted until `commit`.

        The logits (W, V) are those after the tokens with the indices `wanted`, counted over all parts.
        """
        return self.step(self.assign_slots(parts), wanted)

    def compute_logprobs(
        self, parts: Sequence[tuple[CachedSequence, Sequence[int]]], wanted: Sequence[int], ids: Sequence[int]
    ) -> list[float]:
        """As `compute`, giving of each row of logits only the log-probability of one id, in nats."""
        logits = self.compute(parts, wanted)
        return [logprob(row, id) for row, id in zip(logits, ids, strict=True)]

    def assign_slots(
        self, parts: Sequence[tuple[CachedSequence, Sequence[int]]]
    ) -> list[tuple[Sequence[int], Ints]]:
        """The next ids of each sequence, with the slots of the whole sequence, theirs at its end."""
        slots = self.free_slots(sum(len(ids) for _, ids in parts))
        rows: list[tuple[Sequence[int], Ints]] = []
        for sequence, ids in parts:
            rows.append((ids, sequence.reserve(slots[: len(ids)])))
            sequence.uncommitted = list(ids)
            slots = slots[len(ids) :]
        return rows

    def free_slots(self, count: int) -> list[int]:
        """Slots that no open sequence needs; they stay free until a sequence commits a token to them."""
        return self.tree.allocate(count, [sequence.last for sequence in self.live])

    @property
    @abstractmethod
    def rows(self) -> int:
        """The rows of the embedding: ids below it are valid."""

    @abstractmethod
    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        """The logits (W, V) after the tokens with the indices `wanted`, counted over all rows.

        A row is the next ids of a sequence, and the slots of the whole sequence with theirs at its end.
        """


def chunks(pairs: list[tuple[CachedSequence, int]], most: int) -> Iterator[list[tuple[CachedSequence, int]]]:
    for first in range(0, len(pairs), most):
        yield pairs[first : first + most]
