"""Linear layers for small batches: each matrix is read once, and the epilogue is fused."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda import reference
from mtchat.inference.cuda.kernels import gemv
from mtchat.inference.cuda.kernels.epilogue import (
    BITS,
    dequantise_for_torch,
    epilogue,
    unpack_group,
    unpack_int4,
)
from mtchat.inference.cuda.kernels.launch import PDL, pdl_options, scratch
from mtchat.inference.cuda.reference import GATE, GELU
from mtchat.inference.cuda.weights import LinearWeights

FILL = 256  # programs that keep all multiprocessors busy
MAX_BATCH = 64  # larger batches are torch's


def linear(
    x: Tensor,
    matrix: LinearWeights,
    residual: Tensor | None = None,
    activation: str = "",
    first: int = 0,
    late: int = 0,
) -> Tensor:
    """As `reference.linear`."""
    if len(x) == 1:
        return gemv.linear(x, matrix, residual, activation, first, late)
    return batched_linear(x, matrix, residual, activation, first)


# the batch size must not cause a recompilation for some of its values
@triton.jit(do_not_specialize=["batch"])
def linear_kernel(
    x, x_stride, weight, stride, scales, groups, bits_256, bits_16, bias, residual, out, first, batch,
    sums_aside, counters,
    N: tl.constexpr, K: tl.constexpr, SCALED: tl.constexpr, GROUP: tl.constexpr, BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr, GELU: tl.constexpr, GATE: tl.constexpr, BATCH: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, PARTS: tl.constexpr, STAGES: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """A batch through a linear layer, ROWS of its rows and one part of its columns in each program.

    With groups, COLUMNS counts words of 8 columns each.
    """
    wide: tl.constexpr = K // 8 if GROUP else K
    block, part = tl.program_id(0), tl.program_id(1)
    rows = block * ROWS + tl.arange(0, ROWS)
    item = tl.arange(0, BATCH)
    begin = tl.arange(0, COLUMNS)
    inside, there = rows < N, item < batch
    chunk: tl.constexpr = (wide + PARTS * COLUMNS - 1) // (PARTS * COLUMNS) * COLUMNS
    place = weight + rows.to(tl.int64)[None, :] * stride + begin[:, None]
    lines = x + item[:, None] * x_stride
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    sums = tl.zeros((BATCH, ROWS), tl.float32)
    ups = tl.zeros((BATCH, ROWS), tl.float32)
    for start in tl.range(part * chunk, (part + 1) * chunk, COLUMNS, num_stages=STAGES):
        columns = start + begin
        known = columns < wide
        mask = known[:, None] & inside[None, :]
        some = tl.load(place + start, mask=mask, other=0)
        other = tl.load(place + N * stride + start, mask=mask, other=0) if GATE else some
        if GROUP:
            pairs = groups + rows[None, :] * (K // GROUP) + (columns // (GROUP // 8))[:, None]
            step, least = unpack_group(tl.load(pairs, mask=mask, other=0))
            if GATE:
                step_up, least_up = unpack_group(tl.load(pairs + N * (K // GROUP), mask=mask, other=0))
            for at in tl.static_range(8):
                vector = lines + (columns // 4 * 32 + at * 4 + columns % 4)[None, :]
                values = tl.load(vector, mask=there[:, None] & known[None, :], other=0.0)
                added = 16 if at % 2 else 256
                weights = unpack_int4(some, bits_256, bits_16, at) * step + (least - added * step)
                sums = tl.dot(values, weights.to(values.dtype), sums)
                if GATE:
                    weights = unpack_int4(other, bits_256, bits_16, at) * step_up + (
                        least_up - added * step_up
                    )
                    ups = tl.dot(values, weights.to(values.dtype), ups)
        else:
            values = tl.load(lines + columns[None, :], mask=there[:, None] & known[None, :], other=0.0)
            sums = tl.dot(values, some.to(values.dtype), sums)
            if GATE:
                ups = tl.dot(values, other.to(values.dtype), ups)
    both = there[:, None] & inside[None, :]
    if PARTS > 1:
        aside = sums_aside + (block * PARTS + part) * BATCH * ROWS
        cell = item[:, None] * ROWS + tl.arange(0, ROWS)[None, :]
        tl.store(aside + cell, sums)
        tl.debug_barrier()
        before = tl.atomic_add(counters + block, 1, sem="acq_rel")
        if before < PARTS - 1:
            return
        sums = tl.zeros((BATCH, ROWS), tl.float32)
        for each in tl.static_range(PARTS):
            sums += tl.load(sums_aside + (block * PARTS + each) * BATCH * ROWS + cell, cache_modifier=".cg")
        tl.store(counters + block, 0)
    if SCALED:
        sums *= tl.load(scales + rows, mask=inside, other=0.0)[None, :]
        if GATE:
            ups *= tl.load(scales + N + rows, mask=inside, other=0.0)[None, :]
    cells = item[:, None] * N + rows[None, :]
    epilogue(
        sums, ups, bias, residual, out, rows[None, :], inside[None, :], cells, both, first,
        BIAS, RESIDUAL, GELU, GATE,
    )  # fmt: skip


def batched_linear(
    x: Tensor, matrix: LinearWeights, residual: Tensor | None, activation: str, first: int
) -> Tensor:
    """As `reference.linear`; large batches and 32-bit inputs are left to torch."""
    batch = len(x)
    if batch > MAX_BATCH or x.dtype == torch.float32:
        return reference.linear(x, dequantise_for_torch(matrix, x.dtype), residual, activation, first)
    x = reference.apply_norm(x, matrix.norm)
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(batch, count)
    padded = max(16, triton.next_power_of_2(batch))
    rows, wide, warps, stages = tiles_4(activation == GATE) if matrix.group else tiles(padded)
    blocks = triton.cdiv(count, rows)
    # split the columns if one program per block of rows would leave multiprocessors idle
    parts = 1 if activation == GATE else min(triton.next_power_of_2(triton.cdiv(FILL, blocks)), 8)
    aside = scratch(x.device, blocks * parts * padded * rows, blocks)
    linear_kernel[(blocks, parts)](
        x, x.stride(0), matrix.weight, matrix.weight.stride(0), matrix.scales, matrix.packed_groups, *BITS,
        matrix.bias, residual, out, first, batch, aside[0], aside[1],
        N=count, K=matrix.columns, SCALED=matrix.scales is not None, GROUP=matrix.group,
        BIAS=matrix.bias is not None, RESIDUAL=residual is not None, GELU=activation == GELU,
        GATE=activation == GATE, BATCH=padded, ROWS=rows, COLUMNS=wide, PARTS=parts, STAGES=stages,
        PDL=PDL, num_warps=warps, **pdl_options(),
    )  # fmt: skip
    return out


def tiles(batch: int) -> tuple[int, int, int, int]:
    """Rows and columns of a program's tile in `batched_linear`, its warps, and its pipeline stages."""
    return (32, 128, 4, 4) if batch <= 16 else (32, 64, 4, 5)


def tiles_4(gate: bool) -> tuple[int, int, int, int]:
    """As `tiles`, for int4 weights: rows, words of a row, warps, and pipeline stages."""
    return (32 if gate else 64), 16, 4, 3
