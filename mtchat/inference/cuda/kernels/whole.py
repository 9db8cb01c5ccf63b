"""Weights in 4 or 8 bits given back in 16, for the products that are torch's: of many lanes."""

from dataclasses import replace

import torch
import triton
import triton.language as tl

from mtchat.inference.cuda.kernels.endings import step_and_least
from mtchat.inference.cuda.kernels.launch import CHAINED, chained
from mtchat.inference.cuda.weights import Matrix

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
