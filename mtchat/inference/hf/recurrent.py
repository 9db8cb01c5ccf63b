"""Decoding with models that remember a state which cannot be cut: recurrent, convolutional and hybrid ones.

A state is saved where a prompt parts from an earlier one, where it ends and where a completion ends, so that
undo, retry, another ending and candidates compute nothing again before the turn.
"""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch

from mtchat.inference.decoder import ExpectedBranches, Logits, check_ids
from mtchat.inference.hf.resumption import Resumption, run_model
from mtchat.inference.hf.state_tree import RecurrentCache, StateTree
from mtchat.inference.prefix_tree import common_prefix_length

CHUNK = 256  # tokens of one forward pass
WORTH = 16  # tokens after a saved state that are worth another one
BUDGET = 1 << 30  # bytes of saved states
STEP_COST = 4  # tokens that are read together in the time that one takes alone, or more
GPU_SHARE = 8  # of the free memory of a GPU, saved states may take 1/8


class RecurrentSequence:
    """A sequence with a cache of its own; `ids` is the truth, and a cache that is ahead of it is restored."""

    def __init__(self, decoder: "RecurrentDecoder", ids: Sequence[int], cache: RecurrentCache) -> None:
        self.decoder = decoder
        self.ids = list(ids)
        self.uncommitted: list[int] = []
        self.cached = len(cache.ids)
        self.begun = False  # a completion, whose prompt is worth keeping
        self.backup: RecurrentCache | None = None
        self.hold(cache)

    def hold(self, cache: RecurrentCache) -> None:
        self.cache = cache
        self.decoder.owners.append((weakref.ref(self), cache))

    def prefill(self) -> Iterator[Logits]:
        check_ids(self.ids, self.decoder.rows)
        self.bring_to(self.ids, True)
        if self.cache.logits is not None and len(self.cache.ids) == len(self.ids):
            yield self.cache.logits
            return
        yield from self.decoder.prefill(self.cache, self.ids)

    def extend(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def forward(self, ids: Sequence[int]) -> Logits:
        self.uncommitted = list(ids)
        check_ids(ids, self.decoder.rows)
        self.bring_to(self.ids, False)
        if len(self.cache.ids) < len(self.ids):
            for _ in self.decoder.prefill(self.cache, self.ids):
                pass
        if len(ids) > 1:  # some of them may be dropped
            self.backup = self.cache.copy()
            self.cache.passing = True
        elif not self.begun:
            self.decoder.states.save(self.cache)
            self.begun = True
        return self.decoder.compute(self.cache, ids, len(ids))

    def commit(self, count: int) -> None:
        if self.backup and count < len(self.uncommitted):
            self.hold(self.backup)
        self.ids += self.uncommitted[:count]
        self.uncommitted, self.backup = [], None

    def fork(self) -> "RecurrentSequence":
        self.bring_to(self.ids, False)
        twin = RecurrentSequence(self.decoder, self.ids, self.cache.copy())
        twin.cached = self.cached
        return twin

    def bring_to(self, ids: list[int], wants_logits: bool) -> None:
        """Replace the cache if it was interrupted, or is not the beginning of `ids`."""
        held = self.cache.ids
        if not self.cache.whole or held != ids[: len(held)]:
            self.hold(self.decoder.restore(ids, wants_logits))


class RecurrentDecoder:
    """A model of transformers whose state cannot be cut, with a tree of saved states."""

    def __init__(
        self, model: Any, resumption: Resumption, budget: int = 0, chunk: int = CHUNK, worth: int = WORTH
    ) -> None:
        self.model = model
        self.resumption = resumption
        self.chunk, self.worth = chunk, worth
        self.states = StateTree(model.config, budget or choose_budget(model.device))
        self.expected = ExpectedBranches()
        self.owners: list[tuple[weakref.ref[RecurrentSequence], RecurrentCache]] = []

    def expect_branch(self, ids: Sequence[int]) -> None:
        self.expected.add(ids)

    @property
    def rows(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    def open(self, ids: Sequence[int]) -> RecurrentSequence:
        self.retire()
        return RecurrentSequence(self, ids, self.restore(list(ids), True))

    def restore(self, ids: list[int], wants_logits: bool) -> RecurrentCache:
        """A cache of the longest saved text that `ids` begins with, if it saves time to go on from there."""
        cache = self.states.restore(ids, wants_logits)
        slow = self.resumption is Resumption.TOKENS and (len(ids) - len(cache.ids)) * STEP_COST > len(ids)
        return RecurrentCache(self.model.config) if slow else cache

    def forward_each(self, sequences: Sequence[RecurrentSequence], ids: Sequence[int]) -> Logits:
        return numpy.concatenate(
            [sequence.forward([id]) for sequence, id in zip(sequences, ids, strict=True)]
        )

    def retire(self) -> None:
        """Save the states of sequences that have ended."""
        owners, self.owners = self.owners, []
        for owner, cache in owners:
            sequence = owner()
            if sequence is None and not cache.passing:
                self.states.save(cache, give_up=True)
            elif sequence and sequence.cache is cache:
                self.owners.append((owner, cache))

    def prefill(self, cache: RecurrentCache, ids: list[int]) -> Iterator[Logits]:
        """Compute the rest of `ids`: the logits after each chunk. States are saved at some positions.

        The state after the latest chunk is kept until the next one is, as an interrupt may come; that at the
        end is saved once a completion goes on from it, or when the sequence has ended.
        """
        kept = self.positions(cache, ids)
        rolling = None
        for end in self.chunk_ends(len(cache.ids), len(ids), kept):
            logits = self.compute(cache, ids[len(cache.ids) : end], 1)[0]
            saved = self.states.save(cache) if end < len(ids) else None
            if rolling:
                self.states.forget(rolling)
            rolling = None if end in kept else saved
            yield logits

    def positions(self, cache: RecurrentCache, ids: list[int]) -> set[int]:
        """Where states are saved: where another text that was read parts, and where one may."""
        live = [each.ids for owner, other in self.owners if (each := owner()) and other is not cache]
        parting = max([self.states.shared_length(ids), *(common_prefix_length(each, ids) for each in live)])
        kept, last = set[int](), len(cache.ids)
        for position in sorted({parting, *self.expected.within(ids)}):
            if last + self.worth <= position < len(ids):
                kept.add(position)
                last = position
        return kept

    def chunk_ends(self, start: int, length: int, kept: set[int]) -> list[int]:
        """The ends of the chunks between two positions, of which those in `kept` are some."""
        if self.resumption is Resumption.TOKENS and not start:
            return [length]  # what comes after the first chunk would be read one token at a time
        ends: list[int] = []
        for stop in sorted(each for each in {*kept, length} if start < each <= length):
            ends += [*range(start + self.chunk, stop, self.chunk), stop]
            start = stop
        return ends

    @torch.inference_mode()
    def compute(self, cache: RecurrentCache, ids: Sequence[int], wanted: int) -> Logits:
        """Forward pass over the next ids of a cache: the last `wanted` logits (wanted, V)."""
        step = 1 if self.resumption is Resumption.TOKENS and cache.ids else len(ids)
        rows: list[Logits] = []
        for first in range(0, len(ids), step):
            some = ids[first : first + step]
            cache.whole = False
            logits = run_model(self.model, some, len(cache.ids), cache.past, min(wanted, len(some)))
            rows.append(logits.float().cpu().numpy())
            cache.ids.extend(some)
            cache.logits = rows[-1][-1]
            cache.whole = True
        return numpy.concatenate(rows)[-wanted:]


def choose_budget(device: Any) -> int:
    """The bytes that saved states may take on a device."""
    if device.type != "cuda":
        return BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) // GPU_SHARE
