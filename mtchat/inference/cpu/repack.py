"""Repacks the quantised matrices of a GGUF file for the kernels without rounding; matrix.h has the layout."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
from numpy import uint8
from numpy.typing import NDArray

Q4_MINIMA, Q5_MINIMA, Q4_SCALED, Q5_SCALED, Q8_SCALED, Q6_SIGNED = range(6)  # as in matrix.h
STRIP, BLOCK, QUADS = 16, 32, 8
SUPERBLOCK = 256  # columns of a block of the K types
BITS_OF_KIND = {Q4_MINIMA: 4, Q5_MINIMA: 5, Q4_SCALED: 4, Q5_SCALED: 5, Q8_SCALED: 8, Q6_SIGNED: 6}
SCALED = (Q4_SCALED, Q5_SCALED, Q8_SCALED)

Bytes = NDArray[uint8]
Halves = NDArray[numpy.float16]


@dataclass(frozen=True)
class QuantBlocks:
    """Rows of a quantised matrix: `values` (R, C) unsigned.

    `halves` (R, C / 32 or C / 256, 1 or 2) has the scale of each block and the scale of its minima; `small`
    (R, C / 32, 2) a scale and a minimum of each 32 columns, or two signed scales.
    """

    kind: int
    values: Bytes
    halves: Halves
    small: Bytes | None = None


def group_columns(kind: int) -> int:
    """The number of columns must be a multiple of this."""
    return 2 * BLOCK if kind in SCALED else SUPERBLOCK


def strip_bytes(kind: int, columns: int) -> int:
    """The bytes of a strip of 16 rows."""
    blocks = group_columns(kind) // BLOCK
    head = 64 if kind in SCALED else 320
    return columns // (BLOCK * blocks) * (head + blocks * BLOCK * STRIP * BITS_OF_KIND[kind] // 8)


def repack(rows: QuantBlocks) -> Bytes:
    """The packed bytes of rows, in strips of 16 rows: (R / 16, strip_bytes)."""
    kind, count = rows.kind, rows.values.shape[0] // STRIP
    values = rows.values.reshape(count, STRIP, -1, QUADS, 4).transpose(0, 2, 3, 1, 4)
    values = values.reshape(count, -1, QUADS, 4 * STRIP)  # (strip, block, quad, row and column)
    quants = pack_bits(values, BITS_OF_KIND[kind])
    blocks = group_columns(kind) // BLOCK
    groups = quants.shape[1] // blocks
    head = group_headers(rows, count, groups)
    body = quants.reshape(count, groups, -1)
    return numpy.concatenate([head, body], axis=2).reshape(count, -1)


def pack_bits(values: Bytes, bits: int) -> Bytes:
    """Pack the values of each block into bits: (S, B, 8, 64) -> (S, B, bytes)."""
    count, blocks = values.shape[:2]
    if bits == 8:
        return values.reshape(count, blocks, -1)
    parts = [(values[:, :, :4] & uint8(15)) | (values[:, :, 4:] << uint8(4))]
    upper = values >> uint8(4)
    if bits == 5:
        parts.append(pack_planes(upper, 1))
    elif bits == 6:
        parts += [pack_planes(upper[:, :, :4], 2), pack_planes(upper[:, :, 4:], 2)]
    return numpy.concatenate([part.reshape(count, blocks, -1) for part in parts], axis=2)


def pack_planes(upper: Bytes, bits: int) -> Bytes:
    """Pack several small numbers into each byte: number f goes to the bits from f * bits."""
    total = numpy.zeros_like(upper[:, :, 0])
    for place in range(upper.shape[2]):
        total |= upper[:, :, place] << uint8(bits * place)
    return total


def group_headers(rows: QuantBlocks, count: int, groups: int) -> Bytes:
    """The scales that precede the blocks of a group: (S, G, 64 or 320)."""
    halves = rows.halves.reshape(count, STRIP, groups, -1).transpose(0, 2, 3, 1)  # (S, G, halves, row)
    scales = numpy.ascontiguousarray(halves).view(uint8).reshape(count, groups, -1)
    if rows.small is None:
        return scales
    front = numpy.zeros((count, groups, 64), uint8)
    front[:, :, : scales.shape[2]] = scales
    small = rows.small.reshape(count, STRIP, groups, SUPERBLOCK // BLOCK, 2)
    order = (0, 2, 3, 4, 1) if rows.kind == Q6_SIGNED else (0, 2, 4, 3, 1)
    return numpy.concatenate([front, small.transpose(order).reshape(count, groups, -1)], axis=2)


def as_float16(raw: Bytes) -> Halves:
    """Pairs of bytes as float16: (..., 2 n) -> (..., n)."""
    return numpy.ascontiguousarray(raw).view(numpy.float16)


def nibbles(raw: Bytes, width: int) -> Bytes:
    """Unpack 4-bit numbers: (..., n) -> (..., 2 n); the low ones of each `width` bytes come first."""
    runs = raw.reshape(*raw.shape[:-1], -1, width)
    return numpy.stack([runs & uint8(15), runs >> uint8(4)], axis=-2).reshape(*raw.shape[:-1], -1)


def read_q4_0(raw: Bytes) -> QuantBlocks:
    blocks = raw.reshape(raw.shape[0], -1, 18)
    return scaled_blocks(Q4_SCALED, nibbles(blocks[:, :, 2:], 16), blocks)


def read_q5_0(raw: Bytes) -> QuantBlocks:
    blocks = raw.reshape(raw.shape[0], -1, 22)
    fifth = numpy.unpackbits(blocks[:, :, 2:6], axis=-1, bitorder="little")
    return scaled_blocks(Q5_SCALED, nibbles(blocks[:, :, 6:], 16) | (fifth << uint8(4)), blocks)


def read_q8_0(raw: Bytes) -> QuantBlocks:
    blocks = raw.reshape(raw.shape[0], -1, 34)
    return scaled_blocks(Q8_SCALED, blocks[:, :, 2:] ^ uint8(0x80), blocks)


def scaled_blocks(kind: int, values: Bytes, blocks: Bytes) -> QuantBlocks:
    return QuantBlocks(kind, values.reshape(values.shape[0], -1), as_float16(blocks[:, :, :2]))


def read_q4_k(raw: Bytes) -> QuantBlocks:
    blocks = raw.reshape(raw.shape[0], -1, 144)
    return k_blocks(Q4_MINIMA, nibbles(blocks[:, :, 16:], 32), blocks)


def read_q5_k(raw: Bytes) -> QuantBlocks:
    blocks = raw.reshape(raw.shape[0], -1, 176)
    planes = blocks[:, :, None, 16:48] >> numpy.arange(8, dtype=uint8)[:, None]  # (R, B, 8, 32)
    fifth = (planes & uint8(1)).reshape(*blocks.shape[:2], -1)
    return k_blocks(Q5_MINIMA, nibbles(blocks[:, :, 48:], 32) | (fifth << uint8(4)), blocks)


def k_blocks(kind: int, values: Bytes, blocks: Bytes) -> QuantBlocks:
    """Blocks of a K type: unpack its 8 scales and minima of 6 bits from 12 bytes."""
    six, four = uint8(63), uint8(4)
    low, middle, high = (blocks[:, :, 4 + 4 * part : 8 + 4 * part] for part in range(3))
    scales = numpy.concatenate([low & six, (high & uint8(15)) | ((low >> uint8(6)) << four)], axis=2)
    minima = numpy.concatenate([middle & six, (high >> four) | ((middle >> uint8(6)) << four)], axis=2)
    small = numpy.stack([scales, minima], axis=3)
    return QuantBlocks(kind, values.reshape(values.shape[0], -1), as_float16(blocks[:, :, :4]), small)


def read_q6_k(raw: Bytes) -> QuantBlocks:
    blocks = raw.reshape(raw.shape[0], -1, 210)
    count = blocks.shape[:2]
    lower = nibbles(blocks[:, :, :128], 64)
    upper = blocks[:, :, 128:192].reshape(*count, 2, 1, 32) >> numpy.array([0, 2, 4, 6], uint8)[:, None]
    values = lower.reshape(*count, 2, 4, 32) | ((upper & uint8(3)) << uint8(4))
    small = blocks[:, :, 192:208].reshape(*count, 8, 2)
    return QuantBlocks(Q6_SIGNED, values.reshape(count[0], -1), as_float16(blocks[:, :, 208:]), small)


def quantise_q8(values: NDArray[numpy.float32]) -> QuantBlocks:
    """Round float rows to Q8: the nearest 8-bit values, for types that have no kernel."""
    blocks = values.reshape(values.shape[0], -1, BLOCK)
    halves = (abs(blocks).max(axis=2, keepdims=True) / 127).astype(numpy.float16)
    scale = halves.astype(numpy.float32)
    ratios = numpy.divide(blocks, scale, out=numpy.zeros_like(blocks), where=scale > 0)
    signed = numpy.rint(ratios).clip(-127, 127).astype(numpy.int8)
    return QuantBlocks(Q8_SCALED, signed.view(uint8).reshape(values.shape) ^ uint8(0x80), halves)


READERS: dict[str, Callable[[Bytes], QuantBlocks]] = {
    "Q4_0": read_q4_0,
    "Q5_0": read_q5_0,
    "Q8_0": read_q8_0,
    "Q4_K": read_q4_k,
    "Q5_K": read_q5_k,
    "Q6_K": read_q6_k,
}
KIND_OF_TYPE = {
    "Q4_0": Q4_SCALED,
    "Q5_0": Q5_SCALED,
    "Q8_0": Q8_SCALED,
    "Q4_K": Q4_MINIMA,
    "Q5_K": Q5_MINIMA,
    "Q6_K": Q6_SIGNED,
}
