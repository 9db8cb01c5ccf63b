"""Guesses what comes next, to be checked in one step; a guess counts only where it is chosen anyway."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy

from mtchat.inference.decoder import Decoder

LONGEST = 4  # ids that are looked up
# how far a guess goes that so many ids speak for: a step of 8 tokens takes half as long again as one of 1
REACH = {4: 7, 3: 7, 2: 4, 1: 2}
CERTAIN = 3  # ids that speak for a guess more than a small model does
SURE = 0.6  # the least probability at which a small model's guess is tried


class Drafter(Protocol):
    """Follows a sequence and guesses how it goes on."""

    def guess(self, most: int) -> list[int]:
        """At most so many ids that may come next."""
        ...

    def push(self, ids: Sequence[int]) -> None:
        """The sequence has gone on with these."""
        ...


class Lookup:
    """What followed the last time that the last ids stood in the sequence: program text repeats itself.

    Prompt lookup decoding, as transformers and llama.cpp have it.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: list[int] = []
        self.seen: dict[tuple[int, ...], int] = {}  # a run of ids: where what followed it stands
        self.push(ids)

    def push(self, ids: Sequence[int]) -> None:
        for id in ids:
            end = len(self.ids)
            for length in range(1, min(LONGEST, end) + 1):
                self.seen[tuple(self.ids[end - length :])] = end
            self.ids.append(id)

    def guess(self, most: int, least: int = 1) -> list[int]:
        """At most so many ids, where `least` of the last ids at least stood together before."""
        for length in range(min(LONGEST, len(self.ids)), least - 1, -1):
            place = self.seen.get(tuple(self.ids[-length:]))
            if place is not None:
                return self.ids[place : place + min(most, REACH[length])]
        return []


class Draft:
    """What a smaller model with the same tokens writes, as long as it is sure; what is looked up goes first.

    Speculative decoding: Leviathan et al. 2023, arXiv:2211.17192. A guess is one id and not a distribution,
    so taking it where the larger model draws it is exact.
    """

    def __init__(
        self, decoder: "Decoder[Any]", ids: Sequence[int], sure: float = SURE, reach: int = 4
    ) -> None:
        self.path = decoder.open(ids)
        self.lookup = Lookup(ids)
        self.sure = sure
        self.reach = reach

    def push(self, ids: Sequence[int]) -> None:
        self.path.extend(ids)
        self.lookup.push(ids)

    def guess(self, most: int) -> list[int]:
        if known := self.lookup.guess(most, least=CERTAIN):
            return known
        *_, logits = self.path.read()
        found: list[int] = []
        ahead = self.path.fork()
        while len(found) < min(most, self.reach):
            best = int(logits.argmax())
            if 1 / float(numpy.exp(logits - logits[best]).sum()) < self.sure:
                break
            found.append(best)
            if len(found) < min(most, self.reach):
                logits = ahead.follow([best])[0]
                ahead.keep(1)
        return found
