"""Decoding without a cache, for models of transformers whose state nobody else can hold."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch

from mtchat.inference.decoder import Logits, check_ids
from mtchat.inference.hf.resumption import run_model


class UncachedSequence:
    """A sequence by its ids alone: each step reads all of them."""

    cached = 0

    def __init__(self, decoder: "UncachedDecoder", ids: Sequence[int]) -> None:
        self.decoder = decoder
        self.ids = list(ids)
        self.uncommitted: list[int] = []

    def prefill(self) -> Iterator[Logits]:
        yield self.decoder.compute(self.ids, 1)[0]

    def extend(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def forward(self, ids: Sequence[int]) -> Logits:
        self.uncommitted = list(ids)
        return self.decoder.compute([*self.ids, *ids], len(ids))

    def commit(self, count: int) -> None:
        self.ids += self.uncommitted[:count]
        self.uncommitted = []

    def fork(self) -> "UncachedSequence":
        return UncachedSequence(self.decoder, self.ids)


class UncachedDecoder:
    """A causal language model of transformers that reads the whole text for every token."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def rows(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    def open(self, ids: Sequence[int]) -> UncachedSequence:
        return UncachedSequence(self, ids)

    def forward_each(self, sequences: Sequence[UncachedSequence], ids: Sequence[int]) -> Logits:
        return numpy.concatenate(
            [sequence.forward([id]) for sequence, id in zip(sequences, ids, strict=True)]
        )

    @torch.inference_mode()
    def compute(self, ids: Sequence[int], wanted: int) -> Logits:
        """The logits (wanted, V) after the last ids."""
        check_ids(ids, self.rows)
        logits: Logits = run_model(self.model, ids, 0, None, wanted).float().cpu().numpy()
        return logits
