"""What products begin and end with, whatever their weights are stored in: pieces of kernels."""

from dataclasses import replace

import torch
import triton
import triton.language as tl

from mtchat.inference.cuda.kernels.launch import CHAINED, chained
from mtchat.inference.cuda.weights import Matrix

# 256.0 and 16.0 for `numbers`: what a kernel is given when it starts is put into words by the instruction
# that masks them, and what it knows when it is compiled by a second one
BITS = (0x43800000, 0x41800000)


@triton.jit
def normalised(
    found, raised, total, squares, lifted, rows, inside, epsilon, K: tl.constexpr, NORM: tl.constexpr
):  # fmt: skip
    """Products with a vector as it is made those with its norm: NORM is 0, 1 for LayerNorm, 2 without mean.

    `total` and `squares` are the sums of the vector and of its squares.
    """
    if NORM:
        square = squares / K
        if NORM == 1:
            mean = total / K
            square -= mean * mean
            found -= mean * tl.load(lifted + rows, mask=inside, other=0.0)
        scale = 1 / tl.sqrt(square + epsilon)
        found *= scale
        raised *= scale
    return found, raised


@triton.jit
def ended(
    found, raised, bias, residual, out, rows, inside, cells, both, first,
    BIAS: tl.constexpr, RESIDUAL: tl.constexpr, GELU: tl.constexpr, GATE: tl.constexpr,
):  # fmt: skip
    """Bias, activation and residual, and away with it: `rows` of the layer, `cells` of the output, masks."""
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
def step_and_least(pair):
    """The two float16 numbers that lie in one of 32 bits."""
    step = (pair & 0xFFFF).to(tl.uint16).to(tl.float16, bitcast=True)
    least = (pair >> 16).to(tl.uint16).to(tl.float16, bitcast=True)
    return step.to(tl.float32), least.to(tl.float32)


@triton.jit
def numbers(words, bits_256, bits_16, PLACE: tl.constexpr):
    """The PLACE-th four bits of words; 256 is added to those of even places, and 16 to those of odd ones.

    They are moved into the fraction of 256.0 or 16.0, where they count one each: no conversion is needed, and
    two places lie where they should after one shift.
    """
    shift: tl.constexpr = PLACE // 2 * 8 - 15
    moved = words >> shift if shift > 0 else words << -shift
    bits = (moved & 0x780000) | bits_16 if PLACE % 2 else (moved & 0x78000) | bits_256
    return bits.to(tl.float32, bitcast=True)


BLOCK = 2048


@triton.jit
def whole_kernel(weight, groups, out, count, GROUP: tl.constexpr, BLOCK: tl.constexpr, CHAINED: tl.constexpr):
    """The weights one after the other: a row ends where a group does, so that rows need not be known."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    if GROUP:
        words = tl.load(weight + (at // 32 * 4 + at % 4), mask=inside, other=0)
        step, least = step_and_least(tl.load(groups + at // GROUP, mask=inside, other=0))
        number = (words >> (at % 32 // 4 * 4).to(tl.int32)) & 15
        values = number.to(tl.float32) * step + least
    else:
        values = tl.load(weight + at, mask=inside, other=0).to(tl.float32)
    tl.store(out + at, values.to(out.dtype.element_ty), mask=inside)


def given_back(matrix: Matrix, dtype: torch.dtype) -> Matrix:
    """A matrix whose weight is floats: of 4 bits the weights, of 8 the whole numbers, beside their scales.

    torch's own way from 8 to 16 bits took 2.4 times as long on an H100.
    """
    if matrix.groups is None and matrix.scales is None:
        return matrix
    out = matrix.weight.new_empty(len(matrix.weight), matrix.columns, dtype=dtype)
    whole_kernel[(triton.cdiv(out.numel(), BLOCK),)](
        matrix.weight, matrix.pairs, out, out.numel(),
        GROUP=matrix.group, BLOCK=BLOCK, CHAINED=CHAINED, **chained(),
    )  # fmt: skip
    return replace(matrix, weight=out, groups=None)
