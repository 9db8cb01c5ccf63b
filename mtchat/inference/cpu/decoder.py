"""A model whose steps the kernels compute; each token sees the keys of its own path and no others."""

import weakref
from collections.abc import Sequence
from ctypes import byref

import numpy

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.weights import FLOATS, Part, Shape, Weights, check
from mtchat.inference.decoder import Logits, check_ids
from mtchat.inference.sequence import Ints, TreeDecoder

MOST = 64  # tokens in one step
CACHE_SHARE, MOST_CACHE = 8, 2 << 30  # of the machine's memory, and bytes at most
LEAST = 4096  # tokens, however small the machine


def capacity(shape: Shape, memory: int) -> int:
    """How many tokens' keys and values are kept in a share of so many bytes of memory."""
    each = 4 * shape.layers * shape.kv_heads * shape.head
    budget = min(memory // CACHE_SHARE, MOST_CACHE)
    return int(max(min(budget // each, 2 * shape.context), min(LEAST, shape.context)))


class NativeModel:
    """Quantised weights on some threads, with room for the keys and values of `capacity` tokens.

    Every number depends on a token's own path only, never on what is computed beside it: a step of one
    token, of eight candidates and of a whole prompt give the same bits.
    """

    def __init__(
        self, weights: Weights, build: str, threads: int, capacity: int, partner: "NativeModel | None" = None
    ) -> None:
        check(weights)
        self.weights = weights
        self.shape = weights.shape
        self.build = build
        self.threads = threads
        self.capacity = capacity
        self.library = kernels.load(build)
        row = self.shape.kv_heads * self.shape.head
        # memory that is not touched is not taken
        self.keys = numpy.empty((self.shape.layers, capacity, row), numpy.float16)
        self.values = numpy.empty_like(self.keys)
        self.layers = (kernels.Layer * self.shape.layers)(*map(self.layer, range(self.shape.layers)))
        self.model = self.described()
        self.partner = partner  # a model that computes at other times, and lends its threads
        lent = partner.state if partner else None
        self.state: int | None = self.library.mtchat_open(byref(self.model), lent, threads, MOST)
        if not self.state:
            raise ModelError("there is not enough memory for this model; use a smaller one")
        self.close = weakref.finalize(self, self.library.mtchat_close, self.state)  # ends its threads
        self.rotations = Rotations(self.shape.rotary, self.shape.theta)

    def described(self) -> kernels.Model:
        return kernels.Model(
            architecture=kernels.ARCHITECTURES.index(self.weights.architecture),
            **{name: getattr(self.shape, name) for name in kernels.SIZES},
            capacity=self.capacity,
            epsilon=self.shape.epsilon,
            embedding=self.matrix("embedding"),
            output=self.matrix("output"),
            **self.vectors("", ("norm", "shift", "output_bias")),
            layer=self.layers,
            keys=self.keys.ctypes.data,
            values=self.values.ctypes.data,
        )

    def layer(self, number: int) -> kernels.Layer:
        """What an architecture does not have is left out."""
        names = [name for name in kernels.MATRICES if f"{number}.{name}" in self.weights.parts]
        matrices = {name: self.matrix(f"{number}.{name}") for name in names}
        return kernels.Layer(**matrices, **self.vectors(f"{number}.", kernels.VECTORS))

    def vectors(self, prefix: str, names: Sequence[str]) -> dict[str, int]:
        """The addresses of those that are there."""
        parts = self.weights.parts
        return {name: self.address(parts[prefix + name]) for name in names if prefix + name in parts}

    def matrix(self, name: str) -> kernels.Matrix:
        part = self.weights.parts[name]
        assert part.kind != FLOATS
        return kernels.Matrix(self.address(part), part.rows, part.columns, part.kind)

    def address(self, part: Part) -> int:
        return int(self.weights.data.ctypes.data) + part.start

    def step(
        self, tokens: Sequence[int], slots: Sequence[int], paths: Sequence[Ints], wanted: Sequence[int]
    ) -> Logits:
        """Compute T <= MOST tokens; the logits (W, V) after those whose places are `wanted`.

        `paths[t]` has the slots that token t sees, in order, its own last: its position is their number
        less one. The keys and values of token t go to `slots[t]`.
        """
        count, wants = len(tokens), len(wanted)
        assert count <= MOST
        check_ids(tokens, self.shape.vocabulary)
        assert self.close.alive
        lengths = numpy.array([len(path) for path in paths], numpy.int32)
        cosines, sines = self.rotations.of(lengths - 1)
        places = numpy.array([path.ctypes.data for path in paths], numpy.uint64)
        logits = numpy.empty((wants, self.weights.parts["output"].rows), numpy.float32)
        arrays = [numpy.array(each, numpy.int32) for each in (tokens, slots, wanted)]
        batch = kernels.Batch(
            count=count,
            wanted=wants,
            tokens=arrays[0].ctypes.data,
            cosines=cosines.ctypes.data,
            sines=sines.ctypes.data,
            slots=arrays[1].ctypes.data,
            paths=places.ctypes.data,
            lengths=lengths.ctypes.data,
            rows=arrays[2].ctypes.data,
            logits=logits.ctypes.data,
        )
        self.library.mtchat_step(self.state, byref(batch))
        return logits[:, : self.shape.vocabulary]


class Rotations:
    """The cosines and sines of rotary embeddings, as transformers computes them: angles in float32."""

    def __init__(self, columns: int, theta: float) -> None:
        powers = numpy.arange(0, columns, 2, dtype=numpy.float32) / numpy.float32(columns)
        self.frequencies = (1.0 / numpy.float32(theta) ** powers).astype(numpy.float32)
        self.table = numpy.empty((2, 0, columns // 2), numpy.float32)

    def of(self, positions: Ints) -> tuple[Logits, Logits]:
        """Those of some positions (T,): twice (T, columns / 2)."""
        last = int(positions.max(initial=0))
        if last >= self.table.shape[1]:
            angles = numpy.arange(2 * last + 1024, dtype=numpy.float32)[:, None] * self.frequencies
            self.table = numpy.stack([numpy.cos(angles), numpy.sin(angles)])
        return self.table[0, positions], self.table[1, positions]


class NativeDecoder(TreeDecoder):
    """The kernels' model with its tree."""

    most = MOST

    def __init__(self, model: NativeModel) -> None:
        super().__init__(model.capacity)
        self.model = model

    @property
    def rows(self) -> int:
        return self.model.shape.vocabulary

    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        tokens = [id for ids, _ in rows for id in ids]
        paths = [slots[: len(slots) - left] for ids, slots in rows for left in range(len(ids) - 1, -1, -1)]
        return self.model.step(tokens, [int(path[-1]) for path in paths], paths, wanted)
