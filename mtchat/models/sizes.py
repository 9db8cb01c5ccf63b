"""The memory and the bytes per token of a Q4_K_M model, computed from its shape alone.

The types are those that llama.cpp gives the matrices of such a file: Q6_K where `takes_more_bits` says so
and for the output matrix, Q4_K elsewhere; rows that are no multiple of 256 wide get Q8_0 and Q5_0 instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from mtchat.inference.cpu import decoder
from mtchat.inference.cpu import weights as cpu_weights
from mtchat.inference.cpu.repack import (
    Q4_MINIMA,
    Q5_SCALED,
    Q6_SIGNED,
    Q8_SCALED,
    STRIP,
    SUPERBLOCK,
    strip_bytes,
)
from mtchat.inference.cpu.weights import ALIGNMENT, FLOATS, LLAMA_CLASS, OVERRUN, QWEN2_BIASES, CpuShape

# bits per weight in a GGUF file, by the kind that a matrix is repacked to
FILE_BITS = {Q4_MINIMA: 4.5, Q6_SIGNED: 6.5625, Q5_SCALED: 5.5, Q8_SCALED: 8.5, FLOATS: 32}
NARROW = {Q4_MINIMA: Q5_SCALED, Q6_SIGNED: Q8_SCALED}
WIDER = ("value", "down")  # the matrices of a layer that get more bits in some layers
EMBEDDING = "embedding"
SHORT_CONTEXT = decoder.MIN_CAPACITY  # tokens
OTHER_MEMORY = 300 << 20  # Python, the tokenizer and the work buffers, as measured with both starters


@dataclass(frozen=True)
class MatrixSize:
    """A part of a model: its kind after repacking, and its bytes in the file and repacked."""

    name: str
    kind: int
    file_bytes: int
    repacked_bytes: int


@dataclass(frozen=True)
class MemoryNeed:
    """The bytes that a model takes on the CPU: weights, keys and values of `context` tokens, and the rest.

    A smaller model that drafts tokens for it is counted in: `draft` is its weights, `cache` that of both.
    `at_once` says that the memory of the cache is taken at the start, not as the context grows.
    """

    weights: int
    context: int
    cache: int
    draft: int = 0
    other: int = OTHER_MEMORY
    at_once: bool = False

    @property
    def total(self) -> int:
        """With a full context."""
        return self.weights + self.draft + self.cache + self.other

    @property
    def least(self) -> int:
        """With a context of some thousand tokens, which is that of a short session."""
        if self.at_once:
            return self.total
        return self.total - self.cache + self.cache * min(SHORT_CONTEXT, self.context) // self.context


def takes_more_bits(layer: int, layers: int) -> bool:
    """Whether Q4_K_M gives the value and down matrices of a layer six bits."""
    first, last = layers // 8, 7 * layers // 8
    return layer < first or layer >= last or (layer - first) % 3 == 2


def matrix_kind(name: str, columns: int, layers: int) -> int:
    """The kind of a matrix; `name` is that of its part, such as "3.down" or "output"."""
    layer, _, part = name.rpartition(".")
    more = part == "output" if not layer else part in WIDER and takes_more_bits(int(layer), layers)
    kind = Q6_SIGNED if more else Q4_MINIMA
    return NARROW[kind] if columns % SUPERBLOCK else kind


def matrix_sizes(shape: CpuShape) -> Iterator[MatrixSize]:
    """All matrices and vectors of a model whose output matrix is not its embedding."""
    for name, size in cpu_weights.part_sizes(LLAMA_CLASS, shape, QWEN2_BIASES):
        if len(size) == 1:
            yield MatrixSize(name, FLOATS, 4 * size[0], 4 * size[0])
            continue
        rows, columns = size
        kind = matrix_kind(name, columns, shape.layers)
        strips = -(-rows // STRIP)
        yield MatrixSize(
            name, kind, int(rows * columns * FILE_BITS[kind] / 8), strips * strip_bytes(kind, columns)
        )


def file_bytes(shape: CpuShape) -> int:
    """The bytes of all tensors in the GGUF file, which also holds some 6 MB of vocabulary."""
    return sum(each.file_bytes for each in matrix_sizes(shape))


def repacked_bytes(shape: CpuShape) -> int:
    """The size of the repacked copy, all of which is in memory while the model is used."""
    return sum(-(-each.repacked_bytes // ALIGNMENT) * ALIGNMENT for each in matrix_sizes(shape)) + OVERRUN


def half_bytes(shape: CpuShape) -> int:
    """The weights in 16 bits, as a GPU holds them."""
    return sum(2 * prod(size) for _, size in cpu_weights.part_sizes(LLAMA_CLASS, shape, QWEN2_BIASES))


def bytes_per_token(shape: CpuShape) -> int:
    """The weights that are read for each token: all but the embedding, of which one row is read."""
    return sum(each.repacked_bytes for each in matrix_sizes(shape) if each.name != EMBEDDING)


def cache_bytes(shape: CpuShape, tokens: int) -> int:
    """The keys and values of some tokens, in 16 bits."""
    return 4 * shape.layers * shape.kv_heads * shape.head * tokens


def memory_need(shape: CpuShape, memory: int, draft: CpuShape | None = None) -> MemoryNeed:
    """What a model takes on a machine with `memory` bytes; `draft` drafts for it."""
    context = min(shape.context, decoder.kv_capacity(shape, memory))
    shapes = (shape, draft) if draft else (shape,)
    weights = [repacked_bytes(each) for each in shapes]
    return MemoryNeed(
        weights[0], context, sum(cache_bytes(each, context) for each in shapes), sum(weights[1:])
    )
