"""Decoding with transformers' own modules, in any precision and on any device; the reference for the kernels.

Each open sequence has a KV cache of its own; a prefix that it shares with an earlier sequence is reused. This
is for models whose cache can be cut at any position; `recurrent` has the others.
"""

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from transformers.cache_utils import Cache

from mtchat.inference.decoder import Logits, check_ids
from mtchat.inference.hf.kv_layer import KVLayer
from mtchat.inference.hf.resumption import new_layers, run_model
from mtchat.inference.prefix_tree import common_prefix_length

SPARE_CACHES = 4  # caches that are kept besides those of the open sequences
COPY_THRESHOLD = 32  # tokens that are sooner computed again than copied
CHUNK = 256  # tokens of one forward pass


class KVCache:
    """The keys and values of one sequence. `ids` is the truth: layers left ahead by an interrupt are cut."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.ids: list[int] = []
        layers = new_layers(config)  # some may hold nothing
        self.layers = [layer for layer in layers if isinstance(layer, KVLayer)]
        self.cache = Cache(layers=layers)

    def truncate_to(self, ids: Sequence[int]) -> int:
        """Cut the cache to its common prefix with `ids`, without their last; the number of cached ids.

        The last id is always computed, because its logits are wanted.
        """
        length = min(common_prefix_length(self.ids, ids), len(ids) - 1)
        del self.ids[length:]
        for layer in self.layers:
            layer.truncate(length)
        return len(self.ids)

    def copy(self, length: int) -> "KVCache":
        """A separate cache with the first `length` positions."""
        twin = KVCache(self.config)
        for mine, other in zip(self.layers, twin.layers, strict=True):
            if part := mine.section(0, length):
                other.update(*part)
        twin.ids = self.ids[:length]
        return twin

    @contextlib.contextmanager
    def extending(self, ids: Sequence[int]) -> Iterator[Any]:
        """The cache for a forward pass over `ids`, which count as cached once every layer has them."""
        yield self.cache
        self.ids.extend(ids)


class KVCachePool:
    """The caches of several sequences, so that going back to an earlier one computes nothing again.

    Each is a whole copy, so there are few: enough for the open sequences and a few more.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.caches = [KVCache(config)]  # the most recently used is the last
        self.spare = SPARE_CACHES

    @property
    def latest(self) -> KVCache:
        return self.caches[-1]

    def select(self, ids: Sequence[int], others: Sequence[Sequence[int]]) -> KVCache:
        """The cache that shares most with `ids`, to be truncated; a copy if much of it would be lost.

        `others` are the ids of the other open sequences, whose caches are not cut.
        """
        cache = max(reversed(self.caches), key=lambda each: common_prefix_length(each.ids, ids))
        length = common_prefix_length(cache.ids, ids)
        wanted = any(common_prefix_length(cache.ids, other) > length for other in others)
        rest = [each for each in self.caches if each is not cache]
        if wanted or len(cache.ids) - length > COPY_THRESHOLD:
            kept = max(self.spare, len(others) + 1)
            rest, cache = [*rest, cache][-kept + 1 :], cache.copy(length)
        self.caches = [*rest, cache]
        return cache


class TorchSequence:
    """A sequence by its ids; its KV cache may serve another sequence in between."""

    def __init__(self, decoder: "TorchDecoder", ids: Sequence[int]) -> None:
        self.decoder = decoder
        self.ids = list(ids)
        self.uncommitted: list[int] = []
        decoder.live.add(self)
        self.cached = self.select_cache().truncate_to(ids)

    def select_cache(self) -> KVCache:
        return self.decoder.pool.select(
            self.ids, [each.ids for each in self.decoder.live if each is not self]
        )

    def prefill(self) -> Iterator[Logits]:
        check_ids(self.ids, self.decoder.rows)
        yield from self.compute(self.ids, 1)

    def extend(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def forward(self, ids: Sequence[int]) -> Logits:
        self.uncommitted = list(ids)
        check_ids(ids, self.decoder.rows)
        *_, logits = self.compute([*self.ids, *ids], len(ids))
        return logits.reshape(len(ids), -1)

    def commit(self, count: int) -> None:
        self.ids += self.uncommitted[:count]
        self.uncommitted = []

    def fork(self) -> "TorchSequence":
        return TorchSequence(self.decoder, self.ids)

    def compute(self, ids: Sequence[int], wanted: int) -> Iterator[Logits]:
        """Compute what is not cached, in chunks: the last logits of each, `wanted` of the last chunk."""
        cache = self.select_cache()
        start = min(cache.truncate_to(ids), len(ids) - wanted)
        cache.truncate_to(ids[: start + 1])
        for first in range(start, len(ids), CHUNK):
            some = ids[first : first + CHUNK]
            rows = wanted if first + CHUNK >= len(ids) else 1
            yield forward(self.decoder.model, cache, some, min(rows, len(some)))


class TorchDecoder:
    """A causal language model of transformers with the KV caches of several sequences."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.pool = KVCachePool(model.config)
        self.live: weakref.WeakSet[TorchSequence] = weakref.WeakSet()

    @property
    def rows(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def cache(self) -> KVCache:
        """The cache that was used last."""
        return self.pool.latest

    def open(self, ids: Sequence[int]) -> TorchSequence:
        return TorchSequence(self, ids)

    def forward_each(self, sequences: Sequence[TorchSequence], ids: Sequence[int]) -> Logits:
        return numpy.concatenate(
            [sequence.forward([id]) for sequence, id in zip(sequences, ids, strict=True)]
        )


@torch.inference_mode()
def forward(model: Any, cache: KVCache, ids: Sequence[int], wanted: int) -> Logits:
    """The logits after the last ids: (V,) of one, (wanted, V) of more."""
    with cache.extending(ids) as past:
        found = run_model(model, ids, len(cache.ids), past, wanted)
    logits: Logits = found.float().cpu().numpy()
    return logits[0] if wanted == 1 else logits
