"""Inner values of the C kernels: hidden states, and the attention weights that queries and keys give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from mtchat.inference.decoder import Floats


@dataclass(frozen=True)
class StepTrace:
    """Inner values of the T tokens of a step.

    `states` (L + 1, T, width): what enters the first layer and what leaves each. `queries`
    (L, T, heads * head): with their positions.
    """

    states: Floats
    queries: Floats

    @staticmethod
    def empty(layers: int, tokens: int, width: int, query: int) -> "StepTrace":
        return StepTrace(
            numpy.empty((layers + 1, tokens, width), numpy.float32),
            numpy.empty((layers, tokens, query), numpy.float32),
        )

    @staticmethod
    def join(steps: "Sequence[StepTrace]") -> "StepTrace":
        return StepTrace(
            numpy.concatenate([each.states for each in steps], axis=1),
            numpy.concatenate([each.queries for each in steps], axis=1),
        )


NOTHING = StepTrace.empty(0, 0, 0, 0)


@dataclass(frozen=True)
class Trace:
    """Inner values of the last ids of a sequence, from index `start` on.

    `keys` (L, n, KV heads * head) are those of all its n ids.
    """

    start: int
    values: StepTrace
    keys: NDArray[numpy.float16]
    heads: int
    head: int

    def state(self, layer: int, index: int) -> Floats:
        """The hidden state (width,) that leaves a layer, counted from 1, for the id with an index."""
        state: Floats = self.values.states[layer, index - self.start]
        return state

    def attention(self, indices: Sequence[int]) -> Floats:
        """The attention weights (R, L, heads, n) of some ids: over the ids up to each."""
        layers, length, width = self.keys.shape
        kv_heads = width // self.head
        rows = numpy.array(indices) - self.start
        hidden = numpy.arange(length) > numpy.array(indices)[:, None]  # (R, n)
        found = numpy.empty((len(rows), layers, self.heads, length), numpy.float32)
        for layer in range(layers):
            keys = self.keys[layer].astype(numpy.float32).reshape(length, kv_heads, self.head)
            queries = self.values.queries[layer, rows].reshape(len(rows), kv_heads, -1, self.head)
            for kv in range(kv_heads):
                group = queries.shape[2]
                scores = queries[:, kv].reshape(-1, self.head) @ keys[:, kv].T / self.head**0.5
                scores = scores.reshape(len(rows), group, length)
                scores[numpy.broadcast_to(hidden[:, None], scores.shape)] = -numpy.inf
                powers = numpy.exp(scores - scores.max(-1, keepdims=True))
                found[:, layer, kv * group : (kv + 1) * group] = powers / powers.sum(-1, keepdims=True)
        return found
