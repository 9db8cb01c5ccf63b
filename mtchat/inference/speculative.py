"""Speculative decoding: draft tokens are verified in one step and kept only where sampling agrees."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy

from mtchat.inference.decoder import Decoder

MAX_NGRAM = 4  # ids of the longest n-gram that is looked up
# draft tokens for a match of n ids: a step of 8 tokens takes half as long again as a step of 1
DRAFT_TOKENS = {4: 7, 3: 7, 2: 4, 1: 2}
TRUSTED_NGRAM = 3  # a match of that many ids is a better draft than a small model's
MIN_PROBABILITY = 0.6  # below it a draft model's token is not proposed


class Drafter(Protocol):
    """Follows one sequence and proposes how it goes on."""

    def propose(self, most: int) -> list[int]:
        """Up to `most` draft tokens."""
        ...

    def extend(self, ids: Sequence[int]) -> None:
        """Append the ids that were generated."""
        ...


class NgramDrafter:
    """Proposes what followed the last occurrence of the latest ids: program text repeats itself.

    Prompt lookup decoding, as in transformers and llama.cpp.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: list[int] = []
        self.seen: dict[tuple[int, ...], int] = {}  # an n-gram: the index of what followed it
        self.extend(ids)

    def extend(self, ids: Sequence[int]) -> None:
        for id in ids:
            end = len(self.ids)
            for length in range(1, min(MAX_NGRAM, end) + 1):
                self.seen[tuple(self.ids[end - length :])] = end
            self.ids.append(id)

    def propose(self, most: int, least: int = 1) -> list[int]:
        """Up to `most` ids, by the longest n-gram of `least` ids or more that occurred before."""
        for length in range(min(MAX_NGRAM, len(self.ids)), least - 1, -1):
            index = self.seen.get(tuple(self.ids[-length:]))
            if index is not None:
                return self.ids[index : index + min(most, DRAFT_TOKENS[length])]
        return []


class DraftModel:
    """Proposes what a smaller model with the same tokens generates while it is confident.

    The smaller one may have fewer rows, where both fill up their tables with unused ones; after an id that it
    lacks only n-grams are proposed. A long n-gram match goes first. Speculative decoding: Leviathan et al.
    2023, arXiv:2211.17192. A draft is one id and not a distribution, so accepting it where the larger model
    samples the same id is exact.
    """

    def __init__(
        self,
        decoder: "Decoder[Any]",
        ids: Sequence[int],
        min_probability: float = MIN_PROBABILITY,
        max_tokens: int = 4,
    ) -> None:
        self.sequence = decoder.open(ids)
        self.ngrams = NgramDrafter(ids)
        self.rows = decoder.rows
        self.follows = all(id < self.rows for id in ids)
        self.min_probability = min_probability
        self.max_tokens = max_tokens

    def extend(self, ids: Sequence[int]) -> None:
        self.sequence.extend(ids)
        self.ngrams.extend(ids)
        self.follows = self.follows and all(id < self.rows for id in ids)

    def propose(self, most: int) -> list[int]:
        if matched := self.ngrams.propose(most, least=TRUSTED_NGRAM):
            return matched
        if not self.follows:
            return self.ngrams.propose(most)
        *_, logits = self.sequence.prefill()
        found: list[int] = []
        ahead = self.sequence.fork()
        while len(found) < min(most, self.max_tokens):
            best = int(logits.argmax())
            if 1 / float(numpy.exp(logits - logits[best]).sum()) < self.min_probability:
                break
            found.append(best)
            if len(found) < min(most, self.max_tokens):
                logits = ahead.forward([best])[0]
                ahead.commit(1)
        return found
