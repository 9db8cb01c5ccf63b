"""Paths of tokens through a tree of keys and values, each token in a slot of its own, on any device."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy
from numpy.typing import NDArray

from mtchat.inference.decoder import Logits
from mtchat.inference.prefix_tree import Tree

GROWTH = 256
Ints = NDArray[numpy.int32]


class TreePath:
    """A sequence whose tokens are nodes of the tree; `slots` are theirs, then those of the ids followed."""

    def __init__(self, decoder: "TreeDecoder", ids: Sequence[int]) -> None:
        self.decoder = decoder
        nodes = decoder.tree.match(ids[:-1])
        self.reused = len(nodes)
        self.last = nodes[-1] if nodes else decoder.tree.root
        self.slots: Ints = numpy.empty(len(ids) + GROWTH, numpy.int32)
        self.slots[: len(nodes)] = [node.slot for node in nodes]
        self.length = len(nodes)
        self.rest = list(ids[len(nodes) :])
        self.followed: list[int] = []
        decoder.live.add(self)

    def read(self) -> Iterator[Logits]:
        while self.rest:
            some = self.rest[: self.decoder.most]
            logits = self.decoder.compute([(self, some)], [len(some) - 1])
            self.keep(len(some))
            self.rest = self.rest[self.decoder.most :]
            yield logits[0]

    def extend(self, ids: Sequence[int]) -> None:
        self.rest += ids

    def follow(self, ids: Sequence[int]) -> Logits:
        return self.decoder.compute([(self, ids)], range(len(ids)))

    def keep(self, count: int) -> None:
        for id in self.followed[:count]:
            self.last = self.decoder.tree.add(self.last, id, int(self.slots[self.length]))
            self.slots[self.length] = self.last.slot
            self.length += 1
        self.followed = []

    def fork(self) -> "TreePath":
        twin: TreePath = object.__new__(TreePath)
        twin.decoder, twin.reused, twin.last = self.decoder, self.reused, self.last
        twin.slots, twin.length = self.slots.copy(), self.length
        twin.rest, twin.followed = list(self.rest), []
        self.decoder.live.add(twin)
        return twin

    def ahead(self, slots: Sequence[int]) -> Ints:
        """Put slots behind the sequence for now: all that its last token then sees."""
        end = self.length + len(slots)
        if end > len(self.slots):
            self.slots = numpy.concatenate([self.slots, numpy.empty(len(slots) + GROWTH, numpy.int32)])
        self.slots[self.length : end] = slots
        return self.slots[:end]


class TreeDecoder(ABC):
    """A model with a tree of all that it has seen; `most` tokens are computed in a step."""

    most: ClassVar[int]

    def __init__(self, capacity: int) -> None:
        self.tree = Tree(capacity)
        self.live: weakref.WeakSet[TreePath] = weakref.WeakSet()

    def open(self, ids: Sequence[int]) -> TreePath:
        return TreePath(self, ids)

    def follow_each(self, paths: Sequence[TreePath], ids: Sequence[int]) -> Logits:
        parts = [
            self.compute([(path, [id]) for path, id in some], range(len(some)))
            for some in chunks(list(zip(paths, ids, strict=True)), self.most)
        ]
        return parts[0] if len(parts) == 1 else numpy.concatenate(parts)

    def compute(self, parts: Sequence[tuple[TreePath, Sequence[int]]], wanted: Sequence[int]) -> Logits:
        """Follow paths with ids that do not count before `keep`: the logits after those that are wanted."""
        return self.step(self.placed(parts), wanted)

    def placed(self, parts: Sequence[tuple[TreePath, Sequence[int]]]) -> list[tuple[Sequence[int], Ints]]:
        """The ids that follow each path, with the slots of the whole sequence, theirs at its end."""
        slots = self.free(sum(len(ids) for _, ids in parts))
        rows: list[tuple[Sequence[int], Ints]] = []
        for path, ids in parts:
            rows.append((ids, path.ahead(slots[: len(ids)])))
            path.followed = list(ids)
            slots = slots[len(ids) :]
        return rows

    def free(self, count: int) -> list[int]:
        """Slots that no path needs, still free until a path keeps a token in them."""
        return self.tree.slots(count, [path.last for path in self.live])

    @property
    @abstractmethod
    def rows(self) -> int:
        """The ids below it have embeddings."""

    @abstractmethod
    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        """The logits (W, V) of those tokens, of T in all, whose places are `wanted`.

        A row has the next ids of a sequence, and the slots of the whole sequence with them at its end.
        """


def chunks(pairs: list[tuple[TreePath, int]], most: int) -> Iterator[list[tuple[TreePath, int]]]:
    for first in range(0, len(pairs), most):
        yield pairs[first : first + most]
