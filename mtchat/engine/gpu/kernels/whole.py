"""Weights in 4 bits given back in 16, for the products that are torch's: of many lanes."""

from dataclasses import replace

import torch
import triton
import triton.language as tl

from mtchat.engine.gpu.kernels.endings import step_and_least
from mtchat.engine.gpu.kernels.launch import CHAINED, chained
from mtchat.engine.gpu.weights import Matrix

BLOCK = 2048


@triton.jit
def whole_kernel(weight, groups, out, count, GROUP: tl.constexpr, BLOCK: tl.constexpr, CHAINED: tl.constexpr):
    """The weights one after the other: a row ends where a group does, so that rows need not be known."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    words = tl.load(weight + (at // 32 * 4 + at % 4), mask=inside, other=0)
    step, least = step_and_least(tl.load(groups + at // GROUP, mask=inside, other=0))
    number = (words >> (at % 32 // 4 * 4).to(tl.int32)) & 15
    tl.store(out + at, (number.to(tl.float32) * step + least).to(out.dtype.element_ty), mask=inside)


def given_back(matrix: Matrix, dtype: torch.dtype) -> Matrix:
    """A matrix with its weight as `rounding.whole` gives it, where it is stored in 4 bits."""
    if matrix.groups is None:
        return matrix
    out = matrix.weight.new_empty(len(matrix.weight), matrix.columns, dtype=dtype)
    whole_kernel[(triton.cdiv(out.numel(), BLOCK),)](
        matrix.weight, matrix.pairs, out, out.numel(),
        GROUP=matrix.group, BLOCK=BLOCK, CHAINED=CHAINED, **chained(),
    )  # fmt: skip
    return replace(matrix, weight=out, groups=None)
