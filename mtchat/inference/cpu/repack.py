"""Repacks matrices for the kernels without rounding; kinds.h has the layout."""

from dataclasses import dataclass
from typing import Any

import numpy
from numpy import uint8
from numpy.typing import NDArray

Bytes = NDArray[uint8]
Halves = NDArray[numpy.float16]
STRIP, BLOCK, QUADS = 16, 32, 8
SUPERBLOCK = 256  # columns of a block of the K types
HALVES_SIZE = 64  # bytes of a head before its small scales, where it has both


@dataclass(frozen=True)
class KindLayout:
    """The bits of a value; the bytes of a group's head, and its blocks; what must divide the columns."""

    bits: int
    head: int
    blocks: int
    columns: int

    @property
    def block_bytes(self) -> int:
        return BLOCK * STRIP * self.bits // 8


# numbered as in kinds.h
Q4_MINIMA, Q5_MINIMA, Q4_SCALED, Q5_SCALED, Q8_SCALED, Q6_SIGNED = range(6)
FP4_POWERS, FP4_MINIFLOATS, NL4_SCALED, OWN4_SIGNED, OWN4_SIGNED_32 = range(6, 11)
Q4_PAIRS, Q5_PAIRS, Q2_NIBBLES, Q3_SIGNED, Q1_SCALED, Q2_SCALED = range(11, 17)
F16_PLAIN, BF16_PLAIN, F32_PLAIN = range(17, 20)
LAYOUTS = {
    Q4_MINIMA: KindLayout(4, 320, 8, 256),
    Q5_MINIMA: KindLayout(5, 320, 8, 256),
    Q4_SCALED: KindLayout(4, 64, 2, 64),
    Q5_SCALED: KindLayout(5, 64, 2, 64),
    Q8_SCALED: KindLayout(8, 64, 2, 64),
    Q6_SIGNED: KindLayout(6, 320, 8, 256),
    FP4_POWERS: KindLayout(4, 64, 4, 32),
    FP4_MINIFLOATS: KindLayout(4, 64, 2, 64),
    NL4_SCALED: KindLayout(4, 64, 2, 32),
    OWN4_SIGNED: KindLayout(4, 320, 8, 256),
    OWN4_SIGNED_32: KindLayout(4, 192, 8, 256),
    Q4_PAIRS: KindLayout(4, 64, 1, 32),
    Q5_PAIRS: KindLayout(5, 64, 1, 32),
    Q2_NIBBLES: KindLayout(2, 320, 8, 256),
    Q3_SIGNED: KindLayout(3, 320, 8, 256),
    Q1_SCALED: KindLayout(1, 64, 8, 128),
    Q2_SCALED: KindLayout(2, 64, 8, 256),
    F16_PLAIN: KindLayout(16, 0, 1, 32),
    BF16_PLAIN: KindLayout(16, 0, 1, 32),
    F32_PLAIN: KindLayout(32, 0, 1, 32),
}


@dataclass(frozen=True)
class CodeBook:
    """The values (-128 to 127) of the 16 codes, and the unit that they are multiples of."""

    values: tuple[int, ...]
    unit: float = 1.0


@dataclass(frozen=True)
class QuantBlocks:
    """Rows of a matrix: `values` (R, C), unsigned; those of floats are their bits.

    `halves` (R, S, 1 or 2) has the scale of each span of columns, and that of its minima; `small`
    (R, S, 1 or 2) the bytes of each block: a scale, a scale and a minimum, or the scales of its halves.
    """

    kind: int
    values: NDArray[Any]
    halves: Halves | None = None
    small: Bytes | None = None
    codes: CodeBook | None = None


def group_columns(kind: int) -> int:
    """The number of columns must be a multiple of this."""
    return LAYOUTS[kind].columns


def strip_bytes(kind: int, columns: int) -> int:
    """The bytes of a strip of 16 rows."""
    layout, blocks = LAYOUTS[kind], columns // BLOCK
    return -(-blocks // layout.blocks) * layout.head + blocks * layout.block_bytes


def repack(rows: QuantBlocks) -> Bytes:
    """The packed bytes of rows, in strips of 16 rows: (R / 16, strip_bytes)."""
    layout, count = LAYOUTS[rows.kind], rows.values.shape[0] // STRIP
    quants = pack_floats(rows.values) if layout.bits > 8 else pack_values(rows.values, layout.bits)
    if not layout.head:
        return quants.reshape(count, -1)
    heads, whole = group_heads(rows), quants.shape[1] // layout.blocks
    body = quants[:, : whole * layout.blocks].reshape(count, whole, layout.blocks * layout.block_bytes)
    groups = numpy.concatenate([heads[:, :whole], body], axis=2).reshape(count, -1)
    rest = quants[:, whole * layout.blocks :].reshape(count, -1)  # of the last group, if it is not whole
    return numpy.concatenate([groups, heads[:, whole:].reshape(count, -1), rest], axis=1)


def pack_floats(values: NDArray[Any]) -> Bytes:
    """The bytes of each block of floats, column by column: (R, C) -> (S, B, bytes)."""
    columns = values.reshape(-1, STRIP, values.shape[1] // BLOCK, BLOCK).transpose(0, 2, 3, 1)
    return numpy.ascontiguousarray(columns).view(uint8).reshape(*columns.shape[:2], -1)


def pack_values(values: Bytes, bits: int) -> Bytes:
    """The bytes of each block: (R, C) -> (S, B, bytes)."""
    count = values.shape[0] // STRIP
    values = values.reshape(count, STRIP, -1, QUADS, 4).transpose(0, 2, 3, 1, 4)
    values = values.reshape(count, -1, QUADS, 4 * STRIP)  # (strip, block, quad, row and column)
    if bits == 8:
        return values.reshape(*values.shape[:2], -1)
    parts = []
    if bits >= 4:
        parts.append((values[:, :, :4] & uint8(15)) | (values[:, :, 4:] << uint8(4)))
        values, bits = values >> uint8(4), bits - 4
    if bits >= 2:
        parts += [pack_planes(values[:, :, first : first + 4], 2) for first in (0, 4)]
        values, bits = values >> uint8(2), bits - 2
    if bits:
        parts.append(pack_planes(values, 1))
    return numpy.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)


def pack_planes(values: Bytes, bits: int) -> Bytes:
    """Pack the low bits of several numbers into each byte: number f goes to the bits from f * bits."""
    total = numpy.zeros_like(values[:, :, 0])
    for place in range(values.shape[2]):
        total |= (values[:, :, place] & uint8((1 << bits) - 1)) << uint8(bits * place)
    return total


def group_heads(rows: QuantBlocks) -> Bytes:
    """The heads of the groups, with zeros in place of blocks that the last one lacks: (S, G, head)."""
    layout, blocks = LAYOUTS[rows.kind], rows.values.shape[1] // BLOCK
    shape = (rows.values.shape[0] // STRIP, -(-blocks // layout.blocks))
    heads, end = numpy.zeros((*shape, layout.head), uint8), 0
    if rows.halves is not None:
        halves = numpy.ascontiguousarray(in_groups(rows.halves, layout.blocks, blocks))
        found = halves.view(uint8).reshape(*shape, -1)
        heads[:, :, : found.shape[2]] = found
        end = HALVES_SIZE
    if rows.small is not None:
        small = in_groups(rows.small, layout.blocks, blocks)
        if rows.kind in (Q4_MINIMA, Q5_MINIMA):  # all scales, then all minima
            small = small.swapaxes(2, 3)
        heads[:, :, end:] = small.reshape(*shape, -1)
    if rows.codes:
        values = numpy.array(rows.codes.values, numpy.int16) + 128
        heads[:, :, 32:48] = values.astype(uint8)
        heads[:, :, 48:52] = numpy.array([rows.codes.unit], numpy.float32).view(uint8)
    return heads


def in_groups(each: NDArray[Any], group: int, blocks: int) -> NDArray[Any]:
    """What groups have for their rows: (R, S, N) -> (strip, group, span, N, row), for spans of a row."""
    spans = each.shape[1]
    held = group * spans // blocks
    padded = numpy.pad(each, ((0, 0), (0, -spans % held), (0, 0)))
    return padded.reshape(-1, STRIP, padded.shape[1] // held, held, each.shape[2]).transpose(0, 2, 3, 4, 1)


def quantise_q8(values: NDArray[numpy.float32]) -> QuantBlocks:
    """Round float rows to Q8: the nearest 8-bit values."""
    blocks = values.reshape(values.shape[0], -1, BLOCK)
    halves = (abs(blocks).max(axis=2, keepdims=True) / 127).astype(numpy.float16)
    scale = halves.astype(numpy.float32)
    ratios = numpy.divide(blocks, scale, out=numpy.zeros_like(blocks), where=scale > 0)
    signed = numpy.rint(ratios).clip(-127, 127).astype(numpy.int8)
    return QuantBlocks(Q8_SCALED, signed.view(uint8).reshape(values.shape) ^ uint8(0x80), halves)
