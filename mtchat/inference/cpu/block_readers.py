"""Reads the blocks of GGUF types: values, scales and codes, exactly as the file has them."""

from collections.abc import Callable
from functools import partial

import numpy
from numpy import uint8

from mtchat.inference.cpu import repack
from mtchat.inference.cpu.grid_readers import TYPES, read_grid
from mtchat.inference.cpu.repack import Bytes, CodeBook, Halves, QuantBlocks

NL4_LOW = (-127, -104, -83, -65, -49, -35, -22, -10)
NL4_VALUES = (*NL4_LOW, 1, 13, 25, 38, 53, 69, 89, 113)  # of IQ4_NL and IQ4_XS


def as_float16(raw: Bytes) -> Halves:
    """Pairs of bytes as float16: (..., 2 n) -> (..., n)."""
    return numpy.ascontiguousarray(raw).view(numpy.float16)


def nibbles(raw: Bytes, width: int) -> Bytes:
    """Unpack 4-bit numbers: (..., n) -> (..., 2 n); the low ones of each `width` bytes come first."""
    return planes(raw, width, 4)


def planes(raw: Bytes, width: int, bits: int) -> Bytes:
    """Unpack numbers of 1, 2 or 4 bits: of each `width` bytes all lowest numbers, then the next."""
    runs = raw.reshape(*raw.shape[:-1], -1, 1, width) >> numpy.arange(0, 8, bits, dtype=uint8)[:, None]
    return (runs & uint8((1 << bits) - 1)).reshape(*raw.shape[:-1], -1)


def blocks_of(raw: Bytes, width: int) -> Bytes:
    return raw.reshape(raw.shape[0], -1, width)


def scaled(
    kind: int, values: Bytes, halves: Bytes, small: Bytes | None = None, codes: CodeBook | None = None
) -> QuantBlocks:
    """Blocks by their values (R, B, C), halves in bytes (R, B, 2 or 4), and small scales."""
    return QuantBlocks(kind, values.reshape(values.shape[0], -1), as_float16(halves), small, codes)


def read_q4_0(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 18)
    return scaled(repack.Q4_SCALED, nibbles(blocks[:, :, 2:], 16), blocks[:, :, :2])


def read_q4_1(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 20)
    return scaled(repack.Q4_PAIRS, nibbles(blocks[:, :, 4:], 16), blocks[:, :, :4])


def read_q5_0(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 22)
    return scaled(repack.Q5_SCALED, five_bits(blocks[:, :, 2:]), blocks[:, :, :2])


def read_q5_1(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 24)
    return scaled(repack.Q5_PAIRS, five_bits(blocks[:, :, 4:]), blocks[:, :, :4])


def five_bits(raw: Bytes) -> Bytes:
    """The fifth bits of 32 numbers, then their low ones."""
    fifth = numpy.unpackbits(raw[:, :, :4], axis=-1, bitorder="little")
    return nibbles(raw[:, :, 4:], 16) | (fifth << uint8(4))


def read_q8_0(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 34)
    return scaled(repack.Q8_SCALED, blocks[:, :, 2:] ^ uint8(0x80), blocks[:, :, :2])


def read_q1_0(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 18)
    values = numpy.unpackbits(blocks[:, :, 2:], axis=-1, bitorder="little")
    return scaled(repack.Q1_SCALED, values, blocks[:, :, :2])


def read_tq2_0(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 66)
    return scaled(repack.Q2_SCALED, planes(blocks[:, :, :64], 32, 2), blocks[:, :, 64:])


def read_tq1_0(raw: Bytes) -> QuantBlocks:
    """Five digits to the base 3 in a byte: the highest comes first, as byte * 3 / 256."""
    blocks = blocks_of(raw, 54)
    values = [
        powers_of_three(blocks[:, :, first:end], digits)
        for first, end, digits in ((0, 32, 5), (32, 48, 5), (48, 52, 4))
    ]
    return scaled(repack.Q2_SCALED, numpy.concatenate(values, axis=2), blocks[:, :, 52:])


def powers_of_three(raw: Bytes, digits: int) -> Bytes:
    """The digits of bytes, all first ones first: (R, B, n) -> (R, B, digits n)."""
    turned = raw[:, :, None] * numpy.array([3**each for each in range(digits)], uint8)[:, None]
    return ((turned.astype(numpy.uint16) * 3) >> 8).astype(uint8).reshape(*raw.shape[:2], -1)


def read_q2_k(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 84)
    small = blocks[:, :, :16].reshape(raw.shape[0], -1, 2)
    return scaled(repack.Q2_NIBBLES, planes(blocks[:, :, 16:80], 32, 2), blocks[:, :, 80:], small)


def read_q3_k(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 110)
    values = planes(blocks[:, :, 32:96], 32, 2) | (planes(blocks[:, :, :32], 32, 1) << uint8(2))
    low, high = nibbles(blocks[:, :, 96:104], 8), planes(blocks[:, :, 104:108], 4, 2)
    small = ((low | (high << uint8(4))) - uint8(32)).reshape(raw.shape[0], -1, 2)  # signed
    return scaled(repack.Q3_SIGNED, values, blocks[:, :, 108:], small)


def read_q4_k(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 144)
    return scaled(repack.Q4_MINIMA, nibbles(blocks[:, :, 16:], 32), blocks[:, :, :4], six_bits(blocks))


def read_q5_k(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 176)
    values = nibbles(blocks[:, :, 48:], 32) | (planes(blocks[:, :, 16:48], 32, 1) << uint8(4))
    return scaled(repack.Q5_MINIMA, values, blocks[:, :, :4], six_bits(blocks))


def six_bits(blocks: Bytes) -> Bytes:
    """The 8 scales and minima of 6 bits in 12 bytes of each block: (R, 8 B, 2)."""
    six, four = uint8(63), uint8(4)
    low, middle, high = (blocks[:, :, 4 + 4 * part : 8 + 4 * part] for part in range(3))
    scales = numpy.concatenate([low & six, (high & uint8(15)) | ((low >> uint8(6)) << four)], axis=2)
    minima = numpy.concatenate([middle & six, (high >> four) | ((middle >> uint8(6)) << four)], axis=2)
    return numpy.stack([scales, minima], axis=3).reshape(blocks.shape[0], -1, 2)


def read_q6_k(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 210)
    values = nibbles(blocks[:, :, :128], 64) | (planes(blocks[:, :, 128:192], 32, 2) << uint8(4))
    small = blocks[:, :, 192:208].reshape(raw.shape[0], -1, 2)
    return scaled(repack.Q6_SIGNED, values, blocks[:, :, 208:], small)


def read_iq4_nl(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 18)
    return scaled(repack.NL4_SCALED, nibbles(blocks[:, :, 2:], 16), blocks[:, :, :2])


def read_iq4_xs(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 136)
    low, high = planes(blocks[:, :, 4:8], 1, 4), planes(blocks[:, :, 2:4], 1, 2)
    small = ((low | (high << uint8(4))) - uint8(32)).reshape(raw.shape[0], -1, 1)  # signed
    values = nibbles(blocks[:, :, 8:], 16)
    return scaled(repack.OWN4_SIGNED_32, values, blocks[:, :, :2], small, CodeBook(NL4_VALUES))


def read_mxfp4(raw: Bytes) -> QuantBlocks:
    blocks = blocks_of(raw, 17)
    values = nibbles(blocks[:, :, 1:], 16).reshape(raw.shape[0], -1)
    return QuantBlocks(repack.FP4_POWERS, values, small=blocks[:, :, :1])


def read_nvfp4(raw: Bytes) -> QuantBlocks:
    """0x7F is no number in UE4M3; gguf-py and llama.cpp take it for 0, and do not look at the highest bit."""
    blocks = blocks_of(raw, 36)
    values = nibbles(blocks[:, :, 4:], 8).reshape(raw.shape[0], -1)
    scales = numpy.where(blocks[:, :, :4] == 0x7F, uint8(0), blocks[:, :, :4] & uint8(0x7F))
    return QuantBlocks(repack.FP4_MINIFLOATS, values, small=scales.reshape(raw.shape[0], -1, 2))


def read_f16(raw: Bytes) -> QuantBlocks:
    return QuantBlocks(repack.F16_PLAIN, numpy.ascontiguousarray(raw).view(numpy.uint16))


def read_bf16(raw: Bytes) -> QuantBlocks:
    return QuantBlocks(repack.BF16_PLAIN, numpy.ascontiguousarray(raw).view(numpy.uint16))


def read_f32(raw: Bytes) -> QuantBlocks:
    return QuantBlocks(repack.F32_PLAIN, numpy.ascontiguousarray(raw).view(numpy.uint32))


READERS: dict[str, Callable[[Bytes], QuantBlocks]] = {
    "Q4_0": read_q4_0,
    "Q4_1": read_q4_1,
    "Q5_0": read_q5_0,
    "Q5_1": read_q5_1,
    "Q8_0": read_q8_0,
    "Q1_0": read_q1_0,
    "TQ1_0": read_tq1_0,
    "TQ2_0": read_tq2_0,
    "Q2_K": read_q2_k,
    "Q3_K": read_q3_k,
    "Q4_K": read_q4_k,
    "Q5_K": read_q5_k,
    "Q6_K": read_q6_k,
    "IQ4_NL": read_iq4_nl,
    "IQ4_XS": read_iq4_xs,
    **{name: partial(read_grid, name) for name in TYPES},
    "MXFP4": read_mxfp4,
    "NVFP4": read_nvfp4,
    "F16": read_f16,
    "BF16": read_bf16,
    "F32": read_f32,
}
KIND_OF_TYPE = {
    "Q4_0": repack.Q4_SCALED,
    "Q4_1": repack.Q4_PAIRS,
    "Q5_0": repack.Q5_SCALED,
    "Q5_1": repack.Q5_PAIRS,
    "Q8_0": repack.Q8_SCALED,
    "Q1_0": repack.Q1_SCALED,
    "TQ1_0": repack.Q2_SCALED,
    "TQ2_0": repack.Q2_SCALED,
    "Q2_K": repack.Q2_NIBBLES,
    "Q3_K": repack.Q3_SIGNED,
    "Q4_K": repack.Q4_MINIMA,
    "Q5_K": repack.Q5_MINIMA,
    "Q6_K": repack.Q6_SIGNED,
    "IQ4_NL": repack.NL4_SCALED,
    "IQ4_XS": repack.OWN4_SIGNED_32,
    **{name: each.kind for name, each in TYPES.items()},
    "MXFP4": repack.FP4_POWERS,
    "NVFP4": repack.FP4_MINIFLOATS,
    "F16": repack.F16_PLAIN,
    "BF16": repack.BF16_PLAIN,
    "F32": repack.F32_PLAIN,
}
