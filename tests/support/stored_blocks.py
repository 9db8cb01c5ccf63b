"""Random rows of each type of GGUF, and their values by gguf-py."""

import gguf
import numpy
from numpy.typing import NDArray

# the bytes of halves in a block; MXFP4 and NVFP4 have other scales, floats none
HALVES = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "Q1_0", "IQ4_NL", "IQ4_XS"), slice(0, 2)),
    **dict.fromkeys(("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"), slice(0, 2)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), slice(0, 4)),
    "Q2_K": slice(80, 84),
    "Q3_K": slice(108, 110),
    "Q6_K": slice(208, 210),
    "TQ1_0": slice(52, 54),
    "TQ2_0": slice(64, 66),
}
Bytes = NDArray[numpy.uint8]


def stored(name: str, rows: int, columns: int) -> Bytes:
    """Random rows of a type, whose scales are numbers."""
    items, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    random = numpy.random.default_rng([*name.encode(), columns])
    if items == 1:
        floats = random.normal(size=(rows, columns)).astype(numpy.float32)
        found: Bytes = gguf.quantize(floats, gguf.GGMLQuantizationType[name]).view(numpy.uint8)
        return found
    raw = random.integers(0, 256, (rows, columns // items, width), numpy.uint8)
    if name in HALVES:
        where = HALVES[name]
        scales = random.normal(size=(rows, columns // items, (where.stop - where.start) // 2)) / 64
        raw[:, :, where] = scales.astype(numpy.float16).view(numpy.uint8)
    elif name == "IQ1_M":  # the highest bits of four pairs of bytes
        halves = (random.normal(size=(*raw.shape[:2], 1)) / 64).astype(numpy.float16).view(numpy.uint16)
        raw[:, :, 49::2] = (raw[:, :, 49::2] & 15) | (halves >> numpy.array([0, 4, 8, 12]) & 15) << 4
    elif name == "MXFP4":
        raw[:, :, 0] = random.integers(118, 128, raw.shape[:2])
    return raw.reshape(rows, -1)


def dequantised(raw: Bytes, name: str) -> NDArray[numpy.float32]:
    """The values of rows; gguf-py has no code for Q1_0: a bit stands for the scale or its negative."""
    if name == "Q1_0":
        blocks = raw.reshape(raw.shape[0], -1, 18)
        scales = numpy.ascontiguousarray(blocks[:, :, :2]).view(numpy.float16).astype(numpy.float32)
        bits = numpy.unpackbits(blocks[:, :, 2:], axis=2, bitorder="little")
        signed: NDArray[numpy.float32] = numpy.where(bits, scales, -scales).reshape(raw.shape[0], -1)
        return signed
    found: NDArray[numpy.float32] = gguf.dequantize(raw, gguf.GGMLQuantizationType[name])
    return found
