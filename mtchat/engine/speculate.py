"""Guesses what comes next, to be checked in one step; a guess counts only where it is chosen anyway."""

from collections.abc import Sequence
from typing import Protocol

import numpy

from mtchat.engine.decoder import Decoder, Path

LONGEST = 4  # ids that are looked up
# how far a guess goes that so many ids speak for: a step of 8 tokens takes half as long again as one of 1
REACH = {4: 7, 3: 7, 2: 4, 1: 2}


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

    def guess(self, most: int) -> list[int]:
        for length in range(min(LONGEST, len(self.ids)), 0, -1):
            place = self.seen.get(tuple(self.ids[-length:]))
            if place is not None:
                return self.ids[place : place + min(most, REACH[length])]
        return []


class Draft:
    """What a smaller model with the same tokens writes, as long as it is sure."""

    def __init__(
        self, decoder: "Decoder[Path]", ids: Sequence[int], sure: float = 0.5, reach: int = 4
    ) -> None:
        self.path = decoder.open(ids)
        self.unread = True
        self.waiting: list[int] = []
        self.sure = sure
        self.reach = reach

    def push(self, ids: Sequence[int]) -> None:
        self.waiting += ids

    def guess(self, most: int) -> list[int]:
        if self.unread:  # only now, so that the first tokens need not wait for it
            list(self.path.read())
            self.unread = False
        logits = self.path.follow(self.waiting)[-1]
        self.path.keep(len(self.waiting))
        self.waiting = []
        found: list[int] = []
        ahead = self.path.fork()
        while len(found) < min(most, self.reach):
            best = int(logits.argmax())
            if 1 / float(numpy.exp(logits - logits[best]).sum()) < self.sure:
                break
            found.append(best)
            logits = ahead.follow([best])[0]
            ahead.keep(1)
        return found
