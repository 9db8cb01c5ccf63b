"""Decoding with transformers' own modules, in any precision and on any device: the plain reference."""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch

from mtchat.inference.decoder import Logits, check_ids
from mtchat.inference.prefix import Forest, Prefix

CHUNK = 256


class TorchPath:
    """A sequence by its ids; the cache that has it may meanwhile serve another."""

    def __init__(self, decoder: "TorchDecoder", ids: Sequence[int]) -> None:
        self.decoder = decoder
        self.ids = list(ids)
        self.followed: list[int] = []
        decoder.live.add(self)
        self.reused = self.prefix().keep(ids)

    def prefix(self) -> Prefix:
        return self.decoder.forest.best(
            self.ids, [each.ids for each in self.decoder.live if each is not self]
        )

    def read(self) -> Iterator[Logits]:
        check_ids(self.ids, self.decoder.rows)
        yield from self.compute(self.ids, 1)

    def extend(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def follow(self, ids: Sequence[int]) -> Logits:
        self.followed = list(ids)
        check_ids(ids, self.decoder.rows)
        *_, logits = self.compute([*self.ids, *ids], len(ids))
        return logits.reshape(len(ids), -1)

    def keep(self, count: int) -> None:
        self.ids += self.followed[:count]
        self.followed = []

    def fork(self) -> "TorchPath":
        return TorchPath(self.decoder, self.ids)

    def compute(self, ids: Sequence[int], wanted: int) -> Iterator[Logits]:
        """Run what is not cached, in chunks; after each its last logits, of the last one `wanted` of them."""
        prefix = self.prefix()
        start = min(prefix.keep(ids), len(ids) - wanted)
        prefix.keep(ids[: start + 1])
        for first in range(start, len(ids), CHUNK):
            some = ids[first : first + CHUNK]
            rows = wanted if first + CHUNK >= len(ids) else 1
            yield forward(self.decoder.model, prefix, some, min(rows, len(some)))


class TorchDecoder:
    """A causal language model of transformers with the caches of several sequences."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.forest = Forest(model.config)
        self.live: weakref.WeakSet[TorchPath] = weakref.WeakSet()

    @property
    def rows(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def prefix(self) -> Prefix:
        """The cache that was used last."""
        return self.forest.latest

    def open(self, ids: Sequence[int]) -> TorchPath:
        return TorchPath(self, ids)

    def follow_each(self, paths: Sequence[TorchPath], ids: Sequence[int]) -> Logits:
        return numpy.concatenate([path.follow([id]) for path, id in zip(paths, ids, strict=True)])


@torch.inference_mode()
def forward(model: Any, prefix: Prefix, ids: Sequence[int], wanted: int) -> Logits:
    """The logits after the last ids: (V,) of one, (wanted, V) of more."""
    start = len(prefix.ids)
    tokens = torch.tensor([list(ids)], device=model.device)  # (1, T)
    positions = torch.arange(start, start + len(ids), device=model.device)[None]  # (1, T)
    with prefix.extending(ids) as cache:
        output = model(
            input_ids=tokens,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=wanted,
        )
    logits: Logits = output.logits[0, -wanted:].float().cpu().numpy()
    return logits[0] if wanted == 1 else logits
