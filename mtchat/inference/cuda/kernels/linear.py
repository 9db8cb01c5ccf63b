"""Linear layers of a few lanes: each matrix is read once, with all that comes after it."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda import reference
from mtchat.inference.cuda.kernels import gemv
from mtchat.inference.cuda.kernels.epilogue import BITS, ended, given_back, numbers, step_and_least
from mtchat.inference.cuda.kernels.launch import CHAINED, chained, scratch
from mtchat.inference.cuda.reference import GATE, GELU
from mtchat.inference.cuda.weights import Matrix

FILL = 256  # programs that keep all multiprocessors busy
WIDEST = 64  # lanes that are taken at once


def product(
    x: Tensor,
    matrix: Matrix,
    residual: Tensor | None = None,
    activation: str = "",
    first: int = 0,
    late: int = 0,
) -> Tensor:
    """As `plain.product`."""
    if len(x) == 1:
        return gemv.product(x, matrix, residual, activation, first, late)
    return products(x, matrix, residual, activation, first)


# what depends on how many lanes there are is not to be compiled once more for some of their numbers
@triton.jit(do_not_specialize=["lanes"])
def products_kernel(
    x, x_stride, weight, stride, scales, groups, bits_256, bits_16, bias, residual, out, first, lanes,
    sums_aside, counters,
    N: tl.constexpr, K: tl.constexpr, SCALED: tl.constexpr, GROUP: tl.constexpr, BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr, GELU: tl.constexpr, GATE: tl.constexpr, LANES: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, PARTS: tl.constexpr, STAGES: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Some vectors through a linear layer, ROWS of its rows and one part of its columns in each program.

    Where there are groups, COLUMNS are words of 8 columns each.
    """
    wide: tl.constexpr = K // 8 if GROUP else K
    block, part = tl.program_id(0), tl.program_id(1)
    rows = block * ROWS + tl.arange(0, ROWS)
    lane = tl.arange(0, LANES)
    begin = tl.arange(0, COLUMNS)
    inside, there = rows < N, lane < lanes
    stretch: tl.constexpr = (wide + PARTS * COLUMNS - 1) // (PARTS * COLUMNS) * COLUMNS
    place = weight + rows.to(tl.int64)[None, :] * stride + begin[:, None]
    lines = x + lane[:, None] * x_stride
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    sums = tl.zeros((LANES, ROWS), tl.float32)
    ups = tl.zeros((LANES, ROWS), tl.float32)
    for start in tl.range(part * stretch, (part + 1) * stretch, COLUMNS, num_stages=STAGES):
        columns = start + begin
        known = columns < wide
        mask = known[:, None] & inside[None, :]
        some = tl.load(place + start, mask=mask, other=0)
        other = tl.load(place + N * stride + start, mask=mask, other=0) if GATE else some
        if GROUP:
            pairs = groups + rows[None, :] * (K // GROUP) + (columns // (GROUP // 8))[:, None]
            step, least = step_and_least(tl.load(pairs, mask=mask, other=0))
            if GATE:
                step_up, least_up = step_and_least(tl.load(pairs + N * (K // GROUP), mask=mask, other=0))
            for at in tl.static_range(8):
                vector = lines + (columns // 4 * 32 + at * 4 + columns % 4)[None, :]
                values = tl.load(vector, mask=there[:, None] & known[None, :], other=0.0)
                added = 16 if at % 2 else 256
                weights = numbers(some, bits_256, bits_16, at) * step + (least - added * step)
                sums = tl.dot(values, weights.to(values.dtype), sums)
                if GATE:
                    weights = numbers(other, bits_256, bits_16, at) * step_up + (least_up - added * step_up)
                    ups = tl.dot(values, weights.to(values.dtype), ups)
        else:
            values = tl.load(lines + columns[None, :], mask=there[:, None] & known[None, :], other=0.0)
            sums = tl.dot(values, some.to(values.dtype), sums)
            if GATE:
                ups = tl.dot(values, other.to(values.dtype), ups)
    both = there[:, None] & inside[None, :]
    if PARTS > 1:
        aside = sums_aside + (block * PARTS + part) * LANES * ROWS
        cell = lane[:, None] * ROWS + tl.arange(0, ROWS)[None, :]
        tl.store(aside + cell, sums)
        tl.debug_barrier()
        before = tl.atomic_add(counters + block, 1, sem="acq_rel")
        if before < PARTS - 1:
            return
        sums = tl.zeros((LANES, ROWS), tl.float32)
        for each in tl.static_range(PARTS):
            sums += tl.load(sums_aside + (block * PARTS + each) * LANES * ROWS + cell, cache_modifier=".cg")
        tl.store(counters + block, 0)
    if SCALED:
        sums *= tl.load(scales + rows, mask=inside, other=0.0)[None, :]
        if GATE:
            ups *= tl.load(scales + N + rows, mask=inside, other=0.0)[None, :]
    cells = lane[:, None] * N + rows[None, :]
    ended(
        sums, ups, bias, residual, out, rows[None, :], inside[None, :], cells, both, first,
        BIAS, RESIDUAL, GELU, GATE,
    )  # fmt: skip


def products(x: Tensor, matrix: Matrix, residual: Tensor | None, activation: str, first: int) -> Tensor:
    """As `plain.product`, for a few lanes: what takes more is torch's, and what is not of 16 bits."""
    lanes = len(x)
    if lanes > WIDEST or x.dtype == torch.float32:
        return reference.product(x, given_back(matrix, x.dtype), residual, activation, first)
    x = reference.normalised(x, matrix.norm)
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(lanes, count)
    padded = max(16, triton.next_power_of_2(lanes))
    rows, wide, warps, stages = tiles_4(activation == GATE) if matrix.group else tiles(padded)
    blocks = triton.cdiv(count, rows)
    # where one column of programs would leave multiprocessors without work, each takes a part of a row
    parts = 1 if activation == GATE else min(triton.next_power_of_2(triton.cdiv(FILL, blocks)), 8)
    aside = scratch(x.device, blocks * parts * padded * rows, blocks)
    products_kernel[(blocks, parts)](
        x, x.stride(0), matrix.weight, matrix.weight.stride(0), matrix.scales, matrix.pairs, *BITS,
        matrix.bias, residual, out, first, lanes, aside[0], aside[1],
        N=count, K=matrix.columns, SCALED=matrix.scales is not None, GROUP=matrix.group,
        BIAS=matrix.bias is not None, RESIDUAL=residual is not None, GELU=activation == GELU,
        GATE=activation == GATE, LANES=padded, ROWS=rows, COLUMNS=wide, PARTS=parts, STAGES=stages,
        CHAINED=CHAINED, num_warps=warps, **chained(),
    )  # fmt: skip
    return out


def tiles(lanes: int) -> tuple[int, int, int, int]:
    """Rows and columns that a program of `products` takes at a time, its warps, and how far it is ahead."""
    return (32, 128, 4, 4) if lanes <= 16 else (32, 64, 4, 5)


def tiles_4(gate: bool) -> tuple[int, int, int, int]:
    """As `tiles`, of weights in 4 bits: rows, words of a row, warps, and how far it is ahead."""
    return (32 if gate else 64), 16, 4, 3
