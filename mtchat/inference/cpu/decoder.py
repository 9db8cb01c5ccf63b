"""A model that our C kernels compute; each token sees the keys of its own sequence only."""

import weakref
from collections.abc import Mapping, Sequence
from ctypes import byref

import numpy

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.adapters import LowRank, PackedAdapters
from mtchat.inference.cpu.trace import NOTHING, StepTrace, Trace
from mtchat.inference.cpu.weights import (
    ACTIVATIONS,
    CODEGEN,
    FLOATS,
    CpuShape,
    CpuWeights,
    PackedPart,
    Rotation,
    check_weights,
)
from mtchat.inference.decoder import Floats, Logits, check_ids
from mtchat.inference.sequence import CachedDecoder, Ints

MAX_STEP_TOKENS = 64
CACHE_SHARE, MAX_CACHE_BYTES = 8, 2 << 30  # the KV cache takes 1/8 of the memory, and 2 GiB at most
MIN_CAPACITY = 4096  # tokens, however small the memory


def cache_budget(memory: int) -> int:
    """The bytes for a KV cache on a machine with `memory` bytes."""
    return min(memory // CACHE_SHARE, MAX_CACHE_BYTES)


def kv_capacity(shape: CpuShape, memory: int) -> int:
    """The tokens of the KV cache on a machine with `memory` bytes."""
    each = 4 * shape.layers * shape.kv_heads * shape.head
    return int(max(min(cache_budget(memory) // each, 2 * shape.context), min(MIN_CAPACITY, shape.context)))


class CpuModel:
    """Quantised weights on some threads, with KV slots for `kv_capacity` tokens.

    Every number depends on a token's own sequence only, never on what is computed beside it: steps of one
    token, of eight candidates and of a whole prompt give the same bits. `pool_owner` is a model that
    computes at other times; this one then uses its threads. `adapters` have what is added to some matrices.
    """

    def __init__(
        self,
        weights: CpuWeights,
        build: str,
        threads: int,
        capacity: int,
        pool_owner: "CpuModel | None" = None,
        adapters: Mapping[str, LowRank] | None = None,
    ) -> None:
        check_weights(weights)
        self.adapters = PackedAdapters(adapters or {}, weights.shape.layers, weights.parts["output"].rows)
        self.weights = weights
        self.shape = weights.shape
        self.build = build
        self.threads = threads
        self.capacity = capacity
        self.library = kernels.load(build)
        row = self.shape.kv_heads * self.shape.head
        # memory that is never touched is never allocated
        self.keys = numpy.empty((self.shape.layers, capacity, row), numpy.float16)
        self.values = numpy.empty_like(self.keys)
        self.layers = (kernels.LayerStruct * self.shape.layers)(
            *map(self.layer_struct, range(self.shape.layers))
        )
        self.model = self.model_struct()
        self.pool_owner = pool_owner  # keeps its threads alive
        shared = pool_owner.state if pool_owner else None
        self.state: int | None = self.library.mtchat_open(byref(self.model), shared, threads, MAX_STEP_TOKENS)
        if not self.state:
            raise ModelError("there is not enough memory for this model; use a smaller one")
        self.close = weakref.finalize(self, self.library.mtchat_close, self.state)  # ends its threads
        self.tables = [
            RotaryTable(each) for each in self.shape.used_rotations(min(capacity, self.shape.context))
        ]

    def model_struct(self) -> kernels.ModelStruct:
        return kernels.ModelStruct(
            architecture=int(self.weights.architecture == CODEGEN),
            **{name: getattr(self.shape, name) for name in (*kernels.SIZES, *kernels.NUMBERS)}
            | {"attention_scale": self.shape.score_factor},
            capacity=self.capacity,
            activation=ACTIVATIONS.index(self.shape.activation),
            adapted=self.adapters.widest,
            output_adapter=self.adapters.head_address(),
            embedding=self.matrix_struct("embedding"),
            output=self.matrix_struct("output"),
            **self.vectors("", ("norm", "shift", "output_bias")),
            layer=self.layers,
            keys=self.keys.ctypes.data,
            values=self.values.ctypes.data,
        )

    def layer_struct(self, number: int) -> kernels.LayerStruct:
        """The parts of a layer; those that an architecture lacks stay empty."""
        names = [name for name in kernels.MATRICES if f"{number}.{name}" in self.weights.parts]
        matrices = {name: self.matrix_struct(f"{number}.{name}") for name in names}
        window = self.shape.windows[number] if self.shape.windows else 0
        turn = self.shape.turns[number] if self.shape.turns else 0
        vectors = self.vectors(f"{number}.", kernels.VECTORS)
        adapters = self.adapters.layer_address(number)
        return kernels.LayerStruct(**matrices, **vectors, window=window, rotation=turn, adapters=adapters)

    def vectors(self, prefix: str, names: Sequence[str]) -> dict[str, int]:
        """The addresses of the vectors that the model has."""
        parts = self.weights.parts
        return {name: self.address(parts[prefix + name]) for name in names if prefix + name in parts}

    def matrix_struct(self, name: str) -> kernels.MatrixStruct:
        part = self.weights.parts[name]
        assert part.kind != FLOATS
        return kernels.MatrixStruct(self.address(part), part.rows, part.columns, part.kind)

    def address(self, part: PackedPart) -> int:
        return int(self.weights.data.ctypes.data) + part.start

    def step(
        self,
        tokens: Sequence[int],
        slots: Sequence[int],
        visible: Sequence[Ints],
        wanted: Sequence[int],
        trace: StepTrace | None = None,
    ) -> Logits:
        """Compute T <= MAX_STEP_TOKENS tokens: the logits (W, V) after those with the indices `wanted`.

        `visible[t]` has the slots that token t sees, in order, its own last: its position is their number
        less one. The keys and values of token t go to `slots[t]`. `trace` gets the inner values of all.
        """
        count, wants = len(tokens), len(wanted)
        assert count <= MAX_STEP_TOKENS
        check_ids(tokens, self.shape.vocabulary)
        assert self.close.alive
        lengths = numpy.array([len(each) for each in visible], numpy.int32)
        found = [table.at(lengths - 1) for table in self.tables]
        angles = numpy.ascontiguousarray(numpy.stack(found, axis=1))  # indexing can leave another order
        addresses = numpy.array([each.ctypes.data for each in visible], numpy.uint64)
        logits = numpy.empty((wants, self.weights.parts["output"].rows), numpy.float32)
        arrays = [numpy.array(each, numpy.int32) for each in (tokens, slots, wanted)]
        trace = trace or NOTHING
        batch = kernels.BatchStruct(
            count=count,
            wanted=wants,
            tokens=arrays[0].ctypes.data,
            cosines=angles[0].ctypes.data,
            sines=angles[1].ctypes.data,
            slots=arrays[1].ctypes.data,
            paths=addresses.ctypes.data,
            lengths=lengths.ctypes.data,
            rows=arrays[2].ctypes.data,
            logits=logits.ctypes.data,
            traced=trace.states.shape[1],
            states=trace.states.ctypes.data,
            queries=trace.queries.ctypes.data,
        )
        self.library.mtchat_step(self.state, byref(batch))
        known = logits[:, : self.shape.vocabulary]
        cap = numpy.float32(self.shape.logit_cap)
        return numpy.tanh(known / cap) * cap if cap else known


class RotaryTable:
    """The cosines and sines of rotary embeddings, as transformers computes them: angles in float32."""

    def __init__(self, rotation: Rotation) -> None:
        self.frequencies = numpy.array(rotation.frequencies, numpy.float32)
        self.magnitude = numpy.float32(rotation.magnitude)
        self.table = numpy.empty((2, 0, len(self.frequencies)), numpy.float32)

    def at(self, positions: Ints) -> Floats:
        """Cosines and sines (2, T, columns / 2) of some positions (T,)."""
        last = int(positions.max(initial=0))
        if last >= self.table.shape[1]:
            angles = numpy.arange(2 * last + 1024, dtype=numpy.float32)[:, None] * self.frequencies
            self.table = numpy.stack([numpy.cos(angles), numpy.sin(angles)]) * self.magnitude
        found: Floats = self.table[:, positions]
        return found


class CpuDecoder(CachedDecoder):
    """A model of the C kernels with its prefix tree."""

    max_step_tokens = MAX_STEP_TOKENS

    def __init__(self, model: CpuModel) -> None:
        super().__init__(model.capacity)
        self.model = model

    @property
    def rows(self) -> int:
        return self.model.shape.vocabulary

    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        return self.compute_rows(rows, wanted, None)

    def compute_rows(
        self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int], trace: StepTrace | None
    ) -> Logits:
        tokens = [id for ids, _ in rows for id in ids]
        visible = [slots[: len(slots) - left] for ids, slots in rows for left in range(len(ids) - 1, -1, -1)]
        return self.model.step(tokens, [int(each[-1]) for each in visible], visible, wanted, trace)

    def trace(self, ids: Sequence[int], start: int) -> Trace:
        """The inner values of `ids[start:]`; what comes before is only computed if it is not cached.

        All ids are in the KV cache afterwards, for the prompt that begins with them.
        """
        sequence = self.open(ids[: start + 1])
        sequence.pending = list(ids[sequence.length : start])
        for _ in sequence.prefill():
            pass
        shape, steps = self.model.shape, []
        for first in range(start, len(ids), self.max_step_tokens):
            some = ids[first : first + self.max_step_tokens]
            step = StepTrace.empty(shape.layers, len(some), shape.width, shape.heads * shape.head)
            self.compute_rows(self.assign_slots([(sequence, some)]), [], step)
            sequence.commit(len(some))
            steps.append(step)
        return Trace(
            start,
            StepTrace.join(steps),
            self.model.keys[:, sequence.slots[: sequence.length]],
            shape.heads,
            shape.head,
        )
