"""Parts of the linear kernels: unpacking int4, the norm, and the epilogue; dequantisation for torch."""

from dataclasses import replace

import torch
import triton
import triton.language as tl

from mtchat.inference.cuda.kernels.launch import PDL, pdl_options
from mtchat.inference.cuda.weights import LinearWeights

# 256.0 and 16.0 for `unpack_int4`: as kernel arguments, they are merged by the instruction that masks the
# words; as compile-time constants they would take a second instruction
BITS = (0x43800000, 0x41800000)


@triton.jit
def apply_norm(
    found, raised, total, squares, weight_sums, rows, inside, epsilon, K: tl.constexpr, NORM: tl.constexpr
):  # fmt: skip
    """Turn products with a raw vector into products with the normalised one.

    NORM is 0 for none, 1 for LayerNorm, 2 for RMSNorm; `total` and `squares` are the sums of the vector and
    of its squares.
    """
    if NORM:
        square = squares / K
        if NORM == 1:
            mean = total / K
            square -= mean * mean
            found -= mean * tl.load(weight_sums + rows, mask=inside, other=0.0)
        scale = 1 / tl.sqrt(square + epsilon)
        found *= scale
        raised *= scale
    return found, raised


@triton.jit
def epilogue(
    found, raised, bias, residual, out, rows, inside, cells, both, first,
    BIAS: tl.constexpr, RESIDUAL: tl.constexpr, GELU: tl.constexpr, GATE: tl.constexpr,
):  # fmt: skip
    """Bias, activation and residual, and the store: `rows` of the layer, `cells` of the output, masks."""
    if BIAS:
        found += tl.load(bias + rows, mask=inside, other=0.0).to(tl.float32)
    if GELU:
        inner = 0.7978845608028654 * (found + 0.044715 * found * found * found)
        curved = found * tl.sigmoid(2 * inner)  # 1 + tanh(z) = 2 sigmoid(2 z)
        found = tl.where(rows >= first, curved, found)
    if GATE:
        found = found * tl.sigmoid(found) * raised
    if RESIDUAL:
        found += tl.load(residual + cells, mask=both, other=0.0).to(tl.float32)
    tl.store(out + cells, found.to(out.dtype.element_ty), mask=both)


@triton.jit
def unpack_group(pair):
    """The scale and minimum, two float16 numbers, of a 32-bit word."""
    step = (pair & 0xFFFF).to(tl.uint16).to(tl.float16, bitcast=True)
    least = (pair >> 16).to(tl.uint16).to(tl.float16, bitcast=True)
    return step.to(tl.float32), least.to(tl.float32)


@triton.jit
def unpack_int4(words, bits_256, bits_16, PLACE: tl.constexpr):
    """Number PLACE of each word, plus 256 in even places and plus 16 in odd ones.

    The four bits are moved into the fraction of 256.0 or 16.0, where each counts one: no conversion is
    needed, and one shift serves two places.
    """
    shift: tl.constexpr = PLACE // 2 * 8 - 15
    moved = words >> shift if shift > 0 else words << -shift
    bits = (moved & 0x780000) | bits_16 if PLACE % 2 else (moved & 0x78000) | bits_256
    return bits.to(tl.float32, bitcast=True)


BLOCK = 2048


@triton.jit
def dequantise_kernel(
    weight, groups, out, count, GROUP: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr
):
    """Dequantise weights as one flat array: rows end where groups do, so row boundaries do not matter."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    if GROUP:
        words = tl.load(weight + (at // 32 * 4 + at % 4), mask=inside, other=0)
        step, least = unpack_group(tl.load(groups + at // GROUP, mask=inside, other=0))
        number = (words >> (at % 32 // 4 * 4).to(tl.int32)) & 15
        values = number.to(tl.float32) * step + least
    else:
        values = tl.load(weight + at, mask=inside, other=0).to(tl.float32)
    tl.store(out + at, values.to(out.dtype.element_ty), mask=inside)


def dequantise_for_torch(matrix: LinearWeights, dtype: torch.dtype) -> LinearWeights:
    """A layer whose weight torch can multiply: int4 dequantised, int8 as floats that still need their scales.

    torch's own conversion from 8 to 16 bits took 2.4 times as long on an H100.
    """
    if matrix.groups is None and matrix.scales is None:
        return matrix
    out = matrix.weight.new_empty(len(matrix.weight), matrix.columns, dtype=dtype)
    dequantise_kernel[(triton.cdiv(out.numel(), BLOCK),)](
        matrix.weight, matrix.packed_groups, out, out.numel(),
        GROUP=matrix.group, BLOCK=BLOCK, PDL=PDL, **pdl_options(),
    )  # fmt: skip
    return replace(matrix, weight=out, groups=None)
