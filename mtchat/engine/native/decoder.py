"""Paths of tokens through a tree of keys and values, computed by the kernels."""

import weakref
from collections.abc import Iterator, Sequence

import numpy

from mtchat.engine.decoder import Logits
from mtchat.engine.native.model import MOST, Ints, NativeModel
from mtchat.engine.tree import Tree

GROWTH = 256


class NativePath:
    """A sequence whose tokens are nodes of the tree; `slots` are theirs, then those of the ids followed."""

    def __init__(self, decoder: "NativeDecoder", ids: Sequence[int]) -> None:
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
            some = self.rest[:MOST]
            logits = self.decoder.compute([(self, some)], [len(some) - 1])
            self.keep(len(some))
            self.rest = self.rest[MOST:]
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

    def fork(self) -> "NativePath":
        twin: NativePath = object.__new__(NativePath)
        twin.decoder, twin.reused, twin.last = self.decoder, self.reused, self.last
        twin.slots, twin.length = self.slots.copy(), self.length
        twin.rest, twin.followed = list(self.rest), []
        self.decoder.live.add(twin)
        return twin

    def ahead(self, ids: Sequence[int], slots: Sequence[int]) -> list[Ints]:
        """Put ids behind the sequence for now: the slots that each of them sees."""
        end = self.length + len(ids)
        if end > len(self.slots):
            self.slots = numpy.concatenate([self.slots, numpy.empty(len(ids) + GROWTH, numpy.int32)])
        self.slots[self.length : end] = slots
        self.followed = list(ids)
        return [self.slots[: self.length + at + 1] for at in range(len(ids))]


class NativeDecoder:
    """The kernels' model with its tree."""

    def __init__(self, model: NativeModel) -> None:
        self.model = model
        self.tree = Tree(model.capacity)
        self.live: weakref.WeakSet[NativePath] = weakref.WeakSet()

    def open(self, ids: Sequence[int]) -> NativePath:
        return NativePath(self, ids)

    def follow_each(self, paths: Sequence[NativePath], ids: Sequence[int]) -> Logits:
        parts = [
            self.compute([(path, [id]) for path, id in some], range(len(some)))
            for some in chunks(list(zip(paths, ids, strict=True)))
        ]
        return parts[0] if len(parts) == 1 else numpy.concatenate(parts)

    def compute(self, parts: Sequence[tuple[NativePath, Sequence[int]]], wanted: Sequence[int]) -> Logits:
        count = sum(len(ids) for _, ids in parts)
        slots = self.tree.slots(count, [path.last for path in self.live])
        tokens: list[int] = []
        paths: list[Ints] = []
        for path, ids in parts:
            paths += path.ahead(ids, slots[len(tokens) : len(tokens) + len(ids)])
            tokens += ids
        return self.model.step(tokens, slots, paths, wanted)


def chunks(pairs: list[tuple[NativePath, int]]) -> Iterator[list[tuple[NativePath, int]]]:
    for first in range(0, len(pairs), MOST):
        yield pairs[first : first + MOST]
