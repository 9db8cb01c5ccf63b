"""Linear layers of one lane: each matrix is read once, with all that comes before and after it.

A norm is taken beside the product, in the same pass over its input:
y = scale (W (g x) - mean (W g)) + (W b + bias), where W g and W b + bias are known beforehand.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mtchat.engine.gpu.kernels.endings import ended, normalised, numbers, step_and_least
from mtchat.engine.gpu.kernels.launch import CHAINED, chained
from mtchat.engine.gpu.plain import GATE, GELU
from mtchat.engine.gpu.weights import Matrix


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
    found, raised = normalised(
        found, raised, tl.sum(total), tl.sum(squares), lifted, rows, inside, epsilon, K, NORM
    )
    ended(found, raised, bias, residual, out, rows, inside, rows, inside, first, BIAS, RESIDUAL, GELU, GATE)


@triton.jit
def product_4_kernel(
    x, weight, groups, bias, lifted, residual, norm, out, epsilon, first,
    N: tl.constexpr, K: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    GROUP: tl.constexpr, GELU: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, BLOCKS: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    """As `product_kernel`, of weights in 4 bits, BLOCKS of 32 columns at a time.

    A thread fetches a block at once, four words. Its numbers are multiplied and added up as they are, and
    then the sum by the group's step.
    """
    count: tl.constexpr = K // 32
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < N
    block, word = tl.arange(0, BLOCKS), tl.arange(0, 4)[None, :]
    place = weight + rows.to(tl.int64)[:, None, None] * (K // 8) + (block[:, None] * 4 + word)[None, :, :]
    # each thread is to fetch the pair of its own block, not several that lie side by side
    pairs = groups + tl.max_contiguous(
        rows[:, None] * (K // GROUP) + (block // (GROUP // 32))[None, :], [1, 1]
    )
    up: tl.constexpr = N * (K // 8)
    raise_pair: tl.constexpr = N * (K // GROUP)
    mask = inside[:, None] & (block < count)[None, :]
    some, pair = tl.load(place, mask=mask[:, :, None], other=0), tl.load(pairs, mask=mask, other=0)
    if GATE:
        other = tl.load(place + up, mask=mask[:, :, None], other=0)
        other_pair = tl.load(pairs + raise_pair, mask=mask, other=0)
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    sums = tl.zeros((ROWS, BLOCKS), tl.float32)
    ups = tl.zeros((ROWS, BLOCKS), tl.float32)
    total = tl.zeros((BLOCKS, 4), tl.float32)
    squares = tl.zeros((BLOCKS, 4), tl.float32)
    for start in range(0, count, BLOCKS):
        place += BLOCKS * 4
        pairs += BLOCKS * 32 // GROUP
        mask = inside[:, None] & (start + BLOCKS + block < count)[None, :]
        next, next_pair = tl.load(place, mask=mask[:, :, None], other=0), tl.load(pairs, mask=mask, other=0)
        found = tl.zeros((ROWS, BLOCKS, 4), tl.float32)
        raised = tl.zeros((ROWS, BLOCKS, 4), tl.float32)
        even = tl.zeros((BLOCKS, 4), tl.float32)
        odd = tl.zeros((BLOCKS, 4), tl.float32)
        known = (start + block < count)[:, None]
        for at in tl.static_range(8):
            columns = (start + block)[:, None] * 32 + at * 4 + word
            values = tl.load(x + columns, mask=known, other=0.0).to(tl.float32)
            if NORM:
                total += values
                squares += values * values
                values *= tl.load(norm + columns, mask=known, other=0.0).to(tl.float32)
            if at % 2:
                odd += values
            else:
                even += values
            found += numbers(some, at) * values[None, :, :]
            if GATE:
                raised += numbers(other, at) * values[None, :, :]
        held, added = tl.sum(even + odd, 1)[None, :], tl.sum(256 * even + 16 * odd, 1)[None, :]
        step, least = step_and_least(pair)
        sums += step * (tl.sum(found, 2) - added) + least * held
        some, pair = next, next_pair
        if GATE:
            step, least = step_and_least(other_pair)
            ups += step * (tl.sum(raised, 2) - added) + least * held
            other = tl.load(place + up, mask=mask[:, :, None], other=0)
            other_pair = tl.load(pairs + raise_pair, mask=mask, other=0)
    found, raised = tl.sum(sums, 1), tl.sum(ups, 1)
    found, raised = normalised(
        found, raised, tl.sum(total), tl.sum(squares), lifted, rows, inside, epsilon, K, NORM
    )
    ended(found, raised, bias, residual, out, rows, inside, rows, inside, first, BIAS, RESIDUAL, GELU, GATE)


def product(x: Tensor, matrix: Matrix, residual: Tensor | None, activation: str, first: int) -> Tensor:
    """As `plain.product`, of one lane."""
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(1, count)
    norm = matrix.norm
    bias = matrix.bias if norm is None else matrix.shift
    given = (bias, matrix.lifted, residual, norm.weight if norm else None)
    options = {
        "N": count,
        "K": matrix.columns,
        "NORM": 0 if norm is None else 1 if norm.bias is not None else 2,
        "BIAS": bias is not None,
        "RESIDUAL": residual is not None,
        "GELU": activation == GELU,
        "GATE": activation == GATE,
        "CHAINED": CHAINED,
        **chained(),
    }
    written = (out, norm.epsilon if norm else 0.0, first)
    if matrix.groups is None:
        rows, wide, warps = tile(count, matrix.columns)
        grid = (triton.cdiv(count, rows),)
        product_kernel[grid](
            x, matrix.weight, matrix.weight.stride(0), matrix.scales, *given, *written,
            SCALED=matrix.scales is not None, ROWS=rows, COLUMNS=wide, num_warps=warps, **options,
        )  # fmt: skip
        return out
    rows, blocks, warps = tile_4(count, matrix.columns)
    product_4_kernel[(triton.cdiv(count, rows),)](
        x, matrix.weight, matrix.groups.view(torch.int32), *given, *written,
        GROUP=matrix.columns // matrix.groups.shape[1], ROWS=rows, BLOCKS=blocks, num_warps=warps, **options,
    )  # fmt: skip
    return out


def tile(rows: int, columns: int) -> tuple[int, int, int]:
    """Rows and columns that a program of `product_kernel` takes at a time, and its warps.

    The best of a sweep on an H100.
    """
    if rows <= 1024:
        return 1, 2048, 8
    if rows <= 2048:
        return 4, 1024, 8
    if rows <= 4096 or 2048 <= columns < 4096:
        return 2, 1024, 4
    if columns < 2048:
        return 8, (256 if rows < 20000 else 512), 4
    return 2, 2048, 8


def tile_4(rows: int, columns: int) -> tuple[int, int, int]:
    """Rows, and blocks of 32 columns, that a program of `product_4_kernel` takes at a time, and its warps."""
    return (4, 32, 4) if columns <= 2048 else (4, 64, 2)
