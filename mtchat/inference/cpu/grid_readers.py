"""Reads the GGUF types whose values are points of a grid, four or eight columns at once: IQ1, IQ2 and IQ3.

A grid has few different numbers in all, at most 16 with their signs: each becomes a code of 4 bits, exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
from numpy import uint8
from numpy.typing import NDArray

from mtchat.inference.cpu.repack import (
    OWN4_SIGNED,
    OWN4_SIGNED_32,
    SUPERBLOCK,
    Bytes,
    CodeBook,
    Halves,
    QuantBlocks,
)

ONE = 0x3C00  # as a half
CODES = 16


@dataclass(frozen=True)
class GridType:
    """The bytes of a block of 256, the numbers of the grid and their unit, and how scales lie in a block.

    `steps` gives the small scale s of each 16 or 32 columns, which stands for 2 s + 1 units.
    """

    kind: int
    width: int
    numbers: tuple[int, ...]
    unit: float
    steps: Callable[[Bytes], Bytes]
    joined: bool = True  # the scale of a block is its first two bytes, and not the highest bits of others


def nibble_steps(raw: Bytes) -> Bytes:
    return numpy.stack([raw & uint8(15), raw >> uint8(4)], axis=-1).reshape(*raw.shape[:2], -1)


def top_steps(raw: Bytes, every: int, bits: int) -> Bytes:
    """The highest three or four bits of every few bytes, the last of which has them."""
    return (raw[:, :, every - 1 :: every] >> uint8(4)) & uint8((1 << bits) - 1)


def packed_steps(raw: Bytes) -> Bytes:
    """Four numbers of 3 bits in the low bits of each 2 bytes."""
    words = numpy.ascontiguousarray(raw).view(numpy.uint16)[..., None] >> numpy.array([0, 3, 6, 9])
    found: Bytes = (words & 7).astype(uint8).reshape(*raw.shape[:2], -1)
    return found


def with_signs(*numbers: int) -> tuple[int, ...]:
    return (*(-each for each in reversed(numbers)), *numbers)


IQ1, IQ2, IQ3 = with_signs(1, 7, 9), with_signs(8, 25, 43), with_signs(4, 12, 20, 28, 36, 44, 52, 62)
ODD = with_signs(*range(1, 16, 2))
TYPES = {
    "IQ1_S": GridType(OWN4_SIGNED_32, 50, IQ1, 1 / 8, lambda raw: top_steps(raw[:, :, 34:], 2, 3)),
    "IQ1_M": GridType(OWN4_SIGNED, 56, IQ1, 1 / 8, lambda raw: packed_steps(raw[:, :, 48:]), False),
    "IQ2_XXS": GridType(OWN4_SIGNED_32, 66, IQ2, 1 / 8, lambda raw: top_steps(raw[:, :, 2:], 8, 4)),
    "IQ2_XS": GridType(OWN4_SIGNED, 74, IQ2, 1 / 8, lambda raw: nibble_steps(raw[:, :, 66:])),
    "IQ2_S": GridType(OWN4_SIGNED, 82, IQ2, 1 / 8, lambda raw: nibble_steps(raw[:, :, 74:])),
    "IQ3_XXS": GridType(OWN4_SIGNED_32, 98, IQ3, 1 / 4, lambda raw: top_steps(raw[:, :, 66:], 4, 4)),
    "IQ3_S": GridType(OWN4_SIGNED_32, 110, ODD, 1.0, lambda raw: nibble_steps(raw[:, :, 106:])),
}


def read_grid(name: str, raw: Bytes) -> QuantBlocks:
    """gguf-py finds the points: with 1 for the scale of a block, values over small scales are the numbers."""
    from gguf import GGMLQuantizationType, dequantize

    found = TYPES[name]
    blocks = raw.reshape(raw.shape[0], -1, found.width).copy()
    small = 2 * found.steps(blocks) + uint8(1)
    halves = take_halves(blocks, found.joined)
    values = dequantize(blocks.reshape(raw.shape), GGMLQuantizationType[name])
    points = values.reshape(*small.shape, -1) / (small[..., None] * numpy.float32(found.unit))
    codes = numpy.searchsorted(numpy.array(found.numbers, numpy.float32), points).astype(uint8)
    book = CodeBook((*found.numbers, *[0] * (CODES - len(found.numbers))), found.unit)
    each = SUPERBLOCK // small.shape[2]  # columns that share a small scale
    parts = small.reshape(raw.shape[0], -1, 32 // each)
    return QuantBlocks(found.kind, codes.reshape(raw.shape[0], -1), halves, parts, book)


def take_halves(blocks: Bytes, joined: bool) -> Halves:
    """The scale of each block, in whose place 1 is put: (R, B, 1)."""
    if joined:
        halves = numpy.ascontiguousarray(blocks[:, :, :2]).view(numpy.float16)
        blocks[:, :, :2] = numpy.array([ONE], numpy.uint16).view(uint8)
        return halves
    nibbles = blocks[:, :, 49::2].astype(numpy.uint16) >> 4  # of the four pairs of bytes from 48
    places = numpy.array([0, 4, 8, 12], numpy.uint16)
    one = (ONE >> places & 15).astype(uint8) << uint8(4)
    blocks[:, :, 49::2] = (blocks[:, :, 49::2] & uint8(15)) | one
    found: NDArray[numpy.uint16] = (nibbles << places).sum(axis=2, keepdims=True, dtype=numpy.uint16)
    return found.view(numpy.float16)
