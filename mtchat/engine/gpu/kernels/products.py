"""Linear layers of one lane or a few: each matrix is read once, with all that comes before and after it.

Of one lane, a norm is taken beside the product, in the same pass over its input:
y = scale (W (g x) - mean (W g)) + (W b + bias), where W g and W b + bias are known beforehand.
Sizes of programs are the best of a sweep on an H100.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mtchat.engine.gpu import plain
from mtchat.engine.gpu.kernels.launch import CHAINED, chained, scratch
from mtchat.engine.gpu.plain import GATE, GELU
from mtchat.engine.gpu.weights import Matrix

FILL = 256  # programs that keep all multiprocessors busy
WIDEST = 64  # lanes that are taken at once


@triton.jit
def product_kernel(
    x, weight, stride, scales, bias, lifted, residual, norm, out, epsilon, first,
    N: tl.constexpr, K: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    SCALED: tl.constexpr,
    GELU: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """One vector through a linear layer, ROWS of its rows in each program."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < N
    begin = tl.arange(0, COLUMNS)
    place = weight + rows.to(tl.int64)[:, None] * stride + begin[None, :]
    # weights are fetched before the vector is known, and always one stretch ahead
    mask = inside[:, None] & (begin < K)[None, :]
    some = tl.load(place, mask=mask, other=0)
    other = tl.load(place + N * stride, mask=mask, other=0) if GATE else some
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    ups = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = tl.zeros((COLUMNS,), tl.float32)
    squares = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, K, COLUMNS):
        columns = start + begin
        known = columns < K
        mask = inside[:, None] & (columns + COLUMNS < K)[None, :]
        place += COLUMNS
        next = tl.load(place, mask=mask, other=0)
        values = tl.load(x + columns, mask=known, other=0.0).to(tl.float32)
        if NORM:
            total += values
            squares += values * values
            values *= tl.load(norm + columns, mask=known, other=0.0).to(tl.float32)
        sums += some.to(tl.float32) * values[None, :]
        some = next
        if GATE:
            next = tl.load(place + N * stride, mask=mask, other=0)
            ups += other.to(tl.float32) * values[None, :]
            other = next
    found = tl.sum(sums, 1)
    raised = tl.sum(ups, 1)
    if SCALED:
        found *= tl.load(scales + rows, mask=inside, other=0.0)
        raised *= tl.load(scales + N + rows, mask=inside, other=0.0) if GATE else 1.0
    if NORM:
        square = tl.sum(squares) / K
        if NORM == 1:
            mean = tl.sum(total) / K
            square -= mean * mean
            found -= mean * tl.load(lifted + rows, mask=inside, other=0.0)
        scale = 1 / tl.sqrt(square + epsilon)
        found *= scale
        raised *= scale
    if BIAS:
        found += tl.load(bias + rows, mask=inside, other=0.0).to(tl.float32)
    if GELU:
        inner = 0.7978845608028654 * (found + 0.044715 * found * found * found)
        curved = found * tl.sigmoid(2 * inner)  # 1 + tanh(z) = 2 sigmoid(2 z)
        found = tl.where(rows >= first, curved, found)
    if GATE:
        found = found * tl.sigmoid(found) * raised
    if RESIDUAL:
        found += tl.load(residual + rows, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + rows, found.to(out.dtype.element_ty), mask=inside)


def product(
    x: Tensor, matrix: Matrix, residual: Tensor | None = None, activation: str = "", first: int = 0
) -> Tensor:
    """As `plain.product`."""
    if x.shape[0] > 1:
        return products(x, matrix, residual, activation, first)
    columns = matrix.weight.shape[1]
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(1, count)
    norm = matrix.norm
    bias = matrix.bias if norm is None else matrix.shift
    rows, wide, warps = tile(count, columns)
    product_kernel[(triton.cdiv(count, rows),)](
        x, matrix.weight, matrix.weight.stride(0), matrix.scales, bias, matrix.lifted, residual,
        norm.weight if norm else None, out, norm.epsilon if norm else 0.0, first,
        N=count, K=columns, NORM=0 if norm is None else 1 if norm.bias is not None else 2,
        BIAS=bias is not None, RESIDUAL=residual is not None, SCALED=matrix.scales is not None,
        GELU=activation == GELU, GATE=activation == GATE, ROWS=rows, COLUMNS=wide, CHAINED=CHAINED,
        num_warps=warps, **chained(),
    )  # fmt: skip
    return out


@triton.jit
def products_kernel(
    x, x_stride, weight, stride, scales, bias, residual, out, first, lanes, sums_aside, counters,
    N: tl.constexpr, K: tl.constexpr, SCALED: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    GELU: tl.constexpr, GATE: tl.constexpr, LANES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PARTS: tl.constexpr, STAGES: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Some vectors through a linear layer, ROWS of its rows and one part of its columns in each program."""
    block, part = tl.program_id(0), tl.program_id(1)
    rows = block * ROWS + tl.arange(0, ROWS)
    lane = tl.arange(0, LANES)
    begin = tl.arange(0, COLUMNS)
    inside, there = rows < N, lane < lanes
    stretch: tl.constexpr = (K + PARTS * COLUMNS - 1) // (PARTS * COLUMNS) * COLUMNS
    place = weight + rows.to(tl.int64)[None, :] * stride + begin[:, None]
    vector = x + lane[:, None] * x_stride + begin[None, :]
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    sums = tl.zeros((LANES, ROWS), tl.float32)
    ups = tl.zeros((LANES, ROWS), tl.float32)
    for start in tl.range(part * stretch, (part + 1) * stretch, COLUMNS, num_stages=STAGES):
        known = start + begin < K
        mask = known[:, None] & inside[None, :]
        some = tl.load(place + start, mask=mask, other=0)
        values = tl.load(vector + start, mask=there[:, None] & known[None, :], other=0.0)
        sums = tl.dot(values, some.to(values.dtype), sums)
        if GATE:
            other = tl.load(place + N * stride + start, mask=mask, other=0)
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
    if BIAS:
        sums += tl.load(bias + rows, mask=inside, other=0.0).to(tl.float32)[None, :]
    if GELU:
        inner = 0.7978845608028654 * (sums + 0.044715 * sums * sums * sums)
        sums = tl.where((rows >= first)[None, :], sums * tl.sigmoid(2 * inner), sums)
    if GATE:
        sums = sums * tl.sigmoid(sums) * ups
    if RESIDUAL:
        sums += tl.load(residual + lane[:, None] * N + rows[None, :], mask=both, other=0.0).to(tl.float32)
    tl.store(out + lane[:, None] * N + rows[None, :], sums.to(out.dtype.element_ty), mask=both)


def products(
    x: Tensor, matrix: Matrix, residual: Tensor | None = None, activation: str = "", first: int = 0
) -> Tensor:
    """As `plain.product`, for a few lanes: what takes more is torch's, and what is not of 16 bits."""
    lanes = len(x)
    if lanes > WIDEST or x.dtype == torch.float32:
        return plain.product(x, matrix, residual, activation, first)
    x = plain.normalised(x, matrix.norm)
    columns = matrix.weight.shape[1]
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(lanes, count)
    padded = max(16, triton.next_power_of_2(lanes))
    rows, wide, warps, stages = tiles(padded)
    blocks = triton.cdiv(count, rows)
    # where one column of programs would leave multiprocessors without work, each takes a part of a row
    parts = 1 if activation == GATE else min(triton.next_power_of_2(triton.cdiv(FILL, blocks)), 8)
    aside = scratch(x.device, blocks * parts * padded * rows, blocks)
    products_kernel[(blocks, parts)](
        x, x.stride(0), matrix.weight, matrix.weight.stride(0), matrix.scales, matrix.bias, residual, out,
        first, lanes,
        aside[0], aside[1],
        N=count, K=columns, SCALED=matrix.scales is not None, BIAS=matrix.bias is not None,
        RESIDUAL=residual is not None, GELU=activation == GELU, GATE=activation == GATE, LANES=padded,
        ROWS=rows, COLUMNS=wide,
        PARTS=parts, STAGES=stages, CHAINED=CHAINED, num_warps=warps, **chained(),
    )  # fmt: skip
    return out


def tiles(lanes: int) -> tuple[int, int, int, int]:
    """Rows and columns that a program of `products` takes at a time, its warps, and how far it is ahead."""
    return (32, 128, 4, 4) if lanes <= 16 else (32, 64, 4, 5)


def tile(rows: int, columns: int) -> tuple[int, int, int]:
    """Rows and columns that a program of `product` takes at a time, and its warps."""
    if rows <= 1024:
        return 1, 2048, 8
    if rows <= 2048:
        return 4, 1024, 8
    if rows <= 4096 or 2048 <= columns < 4096:
        return 2, 1024, 4
    if columns < 2048:
        return 8, (256 if rows < 20000 else 512), 4
    return 2, 2048, 8


@triton.jit
def embed_kernel(table, ids, out, E: tl.constexpr, BLOCK: tl.constexpr, CHAINED: tl.constexpr):
    """The row of a lane's id."""
    lane = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    row = tl.load(ids + lane)
    tl.store(out + lane * E + columns, tl.load(table + row * E + columns, mask=columns < E), mask=columns < E)


def embed(table: Tensor, ids: Tensor) -> Tensor:
    """As `plain.embed`."""
    width = table.shape[1]
    out = table.new_empty(len(ids), width)
    embed_kernel[(len(ids), triton.cdiv(width, 1024))](
        table, ids, out, E=width, BLOCK=1024, CHAINED=CHAINED, **chained()
    )
    return out
