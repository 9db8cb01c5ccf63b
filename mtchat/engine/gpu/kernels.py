"""Triton kernels for the steps of `plain`: a layer takes three of them, or five.

A product reads its matrix once and normalises beside it: the sums that a norm needs are taken in the same pass,
y = scale (W (g x) - mean (W g)) + (W b + bias), of which W g and W b are known beforehand. Attention takes in the
token's own key, turned, and puts it away. Imports triton, which comes with torch for CUDA.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mtchat.engine.gpu import plain
from mtchat.engine.gpu.plain import GATE, GELU, Board
from mtchat.engine.gpu.weights import Matrix, Weights

WAVES = 4  # programs of an attention for each multiprocessor
MOST_PARTS = 16  # that one path is split into
LEAST = 1 << 20  # numbers of scratch memory at first
FILL = 256  # programs that keep all multiprocessors busy
# Sizes of programs are the best of a sweep on an H100.
WIDEST = 64  # lanes that the products here take at once
HEADS = 256  # of the likeliest tokens that are sorted; where those hold too little, all are searched
LOWEST = {torch.bfloat16: 16, torch.float16: 13, torch.float32: 0}  # bits of a float32 that are 0 in these
CHAINED = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 9


@triton.jit
def product_kernel(
    x, weight, stride, bias, lifted, residual, norm, out, epsilon, first,
    N: tl.constexpr, K: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    GELU: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """One vector through a linear layer, ROWS of its rows in each program."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < N
    begin = tl.arange(0, COLUMNS)
    place = weight + rows.to(tl.int64)[:, None] * stride + begin[None, :]
    # weights are fetched before the vector is known, and always one stretch ahead
    mask = inside[:, None] & (begin < K)[None, :]
    some = tl.load(place, mask=mask, other=0.0)
    other = tl.load(place + N * stride, mask=mask, other=0.0) if GATE else some
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
        next = tl.load(place, mask=mask, other=0.0)
        values = tl.load(x + columns, mask=known, other=0.0).to(tl.float32)
        if NORM:
            total += values
            squares += values * values
            values *= tl.load(norm + columns, mask=known, other=0.0).to(tl.float32)
        sums += some.to(tl.float32) * values[None, :]
        some = next
        if GATE:
            next = tl.load(place + N * stride, mask=mask, other=0.0)
            ups += other.to(tl.float32) * values[None, :]
            other = next
    found = tl.sum(sums, 1)
    raised = tl.sum(ups, 1)
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
        x, matrix.weight, matrix.weight.stride(0), bias, matrix.lifted, residual,
        norm.weight if norm else None, out, norm.epsilon if norm else 0.0, first,
        N=count, K=columns, NORM=0 if norm is None else 1 if norm.bias is not None else 2,
        BIAS=bias is not None, RESIDUAL=residual is not None,
        GELU=activation == GELU, GATE=activation == GATE, ROWS=rows, COLUMNS=wide, CHAINED=CHAINED,
        num_warps=warps, **chained(),
    )  # fmt: skip
    return out


@triton.jit
def products_kernel(
    x, x_stride, weight, stride, bias, residual, out, first, lanes, sums_aside, counters,
    N: tl.constexpr, K: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr, GELU: tl.constexpr,
    GATE: tl.constexpr, LANES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
    STAGES: tl.constexpr, CHAINED: tl.constexpr,
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
        some = tl.load(place + start, mask=mask, other=0.0)
        values = tl.load(vector + start, mask=there[:, None] & known[None, :], other=0.0)
        sums = tl.dot(values, some, sums)
        if GATE:
            other = tl.load(place + N * stride + start, mask=mask, other=0.0)
            ups = tl.dot(values, other, ups)
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
        x, x.stride(0), matrix.weight, matrix.weight.stride(0), matrix.bias, residual, out, first, lanes,
        aside[0], aside[1],
        N=count, K=columns, BIAS=matrix.bias is not None, RESIDUAL=residual is not None,
        GELU=activation == GELU, GATE=activation == GATE, LANES=padded, ROWS=rows, COLUMNS=wide,
        PARTS=parts, STAGES=stages, CHAINED=CHAINED, num_warps=warps, **chained(),
    )  # fmt: skip
    return out


def tiles(lanes: int) -> tuple[int, int, int, int]:
    """Rows and columns that a program of `products` takes at a time, its warps, and how far it loads ahead."""
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


def chained() -> dict[str, bool]:
    """Lets a kernel begin while the one before it ends (programmatic dependent launch)."""
    return {"launch_pdl": True} if CHAINED else {}


@triton.jit
def turned(base, d, at, cosines, sines, mask, D: tl.constexpr, R: tl.constexpr, INTERLEAVED: tl.constexpr):
    """Numbers of heads, of which the first R turn by their position's angles; in float32."""
    half: tl.constexpr = R // 2
    turns = d < R
    if INTERLEAVED:
        angle = d // 2
        other = d + 1 - 2 * (d % 2)
        sign = tl.where(d % 2 == 0, -1.0, 1.0)
    else:
        angle = d % half
        other = tl.where(d < half, d + half, d - half)
        sign = tl.where(d < half, -1.0, 1.0)
    values = tl.load(base + d, mask=mask, other=0.0).to(tl.float32)
    pairs = tl.load(base + other, mask=mask & turns, other=0.0).to(tl.float32)
    cosine = tl.load(cosines + at * half + angle, mask=turns, other=1.0)
    sine = tl.load(sines + at * half + angle, mask=turns, other=0.0)
    return values * cosine + sign * pairs * sine


@triton.jit
def attend_kernel(
    inner, stride, keys, values, tables, width, lengths, cosines, sines, out, out_stride,
    parts, tops, totals, counters, scale,
    HEADS: tl.constexpr, KV: tl.constexpr, GROUP: tl.constexpr, PADDED: tl.constexpr, D: tl.constexpr,
    DP: tl.constexpr, R: tl.constexpr, INTERLEAVED: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    """The heads of one lane that share a key head, over a part of its path; the last part done joins all."""
    lane, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    # what earlier steps have left is there; what this one's product gives is waited for
    length = tl.load(lengths + lane)
    chunk = tl.cdiv(tl.cdiv(length, PARTS), BLOCK) * BLOCK
    active = tl.maximum(tl.cdiv(length, tl.maximum(chunk, 1)), 1)
    if part >= active:
        if CHAINED:
            tl.extra.cuda.gdc_launch_dependents()
        return
    g, d = tl.arange(0, PADDED), tl.arange(0, DP)
    heads = kv * GROUP + g
    some = (g < GROUP)[:, None] & (d < D)[None, :]
    begin = inner + lane * stride
    dtype: tl.constexpr = keys.dtype.element_ty
    table = tables + lane.to(tl.int64) * width
    begun, end = part * chunk, tl.minimum((part + 1) * chunk, length)
    n = begun + tl.arange(0, BLOCK)
    slots = tl.load(table + n, mask=n < end, other=0).to(tl.int64)
    places = (slots * KV + kv)[:, None] * D + d[None, :]
    seen = (n < end)[:, None] & (d < D)[None, :]
    key = tl.load(keys + places, mask=seen, other=0.0)
    value = tl.load(values + places, mask=seen, other=0.0)
    own_slot = tl.load(table + length).to(tl.int64)
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    queries = turned(
        begin + heads[:, None] * D, d[None, :], length, cosines, sines, some, D, R, INTERLEAVED
    ) * scale  # fmt: skip
    most = tl.full((PADDED,), float("-inf"), tl.float32)
    total = tl.zeros((PADDED,), tl.float32)
    sums = tl.zeros((PADDED, DP), tl.float32)
    for start in range(begun, end, BLOCK):
        known = start + tl.arange(0, BLOCK) < end
        if PADDED == 1:
            scores = tl.sum(key.to(tl.float32) * queries, 1)[None, :]
        else:
            scores = tl.dot(queries.to(dtype), tl.trans(key))
        scores = tl.where(known[None, :], scores, float("-inf"))
        above = tl.maximum(most, tl.max(scores, 1))
        shares = tl.exp(scores - above[:, None])
        fade = tl.exp(most - above)
        if PADDED == 1:
            found = tl.sum(tl.trans(shares) * value.to(tl.float32), 0)[None, :]
        else:
            found = tl.dot(shares.to(dtype), value)
        sums = sums * fade[:, None] + found
        total = total * fade + tl.sum(shares, 1)
        most = above
        n = start + BLOCK + tl.arange(0, BLOCK)
        slots = tl.load(table + n, mask=n < end, other=0).to(tl.int64)
        places = (slots * KV + kv)[:, None] * D + d[None, :]
        seen = (n < end)[:, None] & (d < D)[None, :]
        key = tl.load(keys + places, mask=seen, other=0.0)
        value = tl.load(values + places, mask=seen, other=0.0)
    if part == 0:  # the token itself, whose key nobody else needs in this step
        own = begin + HEADS * D + kv * D
        own_key = turned(own, d, length, cosines, sines, d < D, D, R, INTERLEAVED).to(dtype)
        own_value = tl.load(own + KV * D + d, mask=d < D, other=0.0)
        tl.store(keys + (own_slot * KV + kv) * D + d, own_key, mask=d < D)
        tl.store(values + (own_slot * KV + kv) * D + d, own_value, mask=d < D)
        score = tl.sum(queries * own_key.to(tl.float32)[None, :], 1)
        above = tl.maximum(most, score)
        share, fade = tl.exp(score - above), tl.exp(most - above)
        sums = sums * fade[:, None] + share[:, None] * own_value.to(tl.float32)[None, :]
        total = total * fade + share
        most = above
    goal = out + lane * out_stride + heads[:, None] * D + d[None, :]
    if active == 1:
        tl.store(goal, (sums / total[:, None]).to(dtype), mask=some)
        return
    row = (lane * KV + kv) * PARTS
    tl.store(tops + (row + part) * PADDED + g, most)
    tl.store(totals + (row + part) * PADDED + g, total)
    tl.store(parts + ((row + part) * PADDED + g)[:, None] * DP + d[None, :], sums)
    tl.debug_barrier()
    before = tl.atomic_add(counters + lane * KV + kv, 1, sem="acq_rel")
    if before == active - 1:
        most = tl.full((PADDED,), float("-inf"), tl.float32)
        total = tl.zeros((PADDED,), tl.float32)
        sums = tl.zeros((PADDED, DP), tl.float32)
        for each in tl.static_range(PARTS):  # unrolled: all of it is fetched at once
            there = g < tl.where(active > each, PADDED, 0)
            at = (row + each) * PADDED + g
            top = tl.load(tops + at, mask=there, other=float("-inf"), cache_modifier=".cg")
            more = tl.load(totals + at, mask=there, other=0.0, cache_modifier=".cg")
            next = tl.load(
                parts + at[:, None] * DP + d[None, :], mask=there[:, None], other=0.0, cache_modifier=".cg"
            )
            above = tl.maximum(most, top)
            fade, share = tl.exp(most - above), tl.exp(top - above)
            sums = sums * fade[:, None] + next * share[:, None]
            total = total * fade + more * share
            most = above
        tl.store(goal, (sums / total[:, None]).to(dtype), mask=some)
        tl.store(counters + lane * KV + kv, 0)


def attend(inner: Tensor, keys: Tensor, values: Tensor, place: Board, weights: Weights, out: Tensor) -> None:
    """As `plain.attend`."""
    shape, lanes = weights.shape, len(inner)
    group = shape.heads // shape.kv_heads
    padded = 1 if group == 1 else max(16, triton.next_power_of_2(group))
    deep = max(16, triton.next_power_of_2(shape.width))
    block, warps = stretch(deep, padded)
    parts = spread(lanes * shape.kv_heads)
    rows = lanes * shape.kv_heads * parts
    aside = scratch(inner.device, rows * padded * (deep + 2), lanes * shape.kv_heads)
    cut = rows * padded
    attend_kernel[(lanes, shape.kv_heads, parts)](
        inner, inner.stride(0), keys, values, place.tables, place.tables.stride(0), place.lengths,
        weights.cosines, weights.sines, out, out.stride(0),
        aside[0][2 * cut :], aside[0][:cut], aside[0][cut : 2 * cut], aside[1], shape.width**-0.5,
        HEADS=shape.heads, KV=shape.kv_heads, GROUP=group, PADDED=padded, D=shape.width, DP=deep,
        R=shape.rotated, INTERLEAVED=shape.interleaved, PARTS=parts,
        BLOCK=block, CHAINED=CHAINED, num_warps=warps, **chained(),
    )  # fmt: skip


def stretch(deep: int, padded: int) -> tuple[int, int]:
    """Tokens of a path that a program of attention takes at a time, and its warps."""
    if padded > 1:
        return 128, 8
    return (64, 2) if deep <= 64 else (32, 4)


def spread(programs: int) -> int:
    """How many parts a path is split into, so that all multiprocessors have work."""
    wanted = WAVES * multiprocessors() // programs
    return 1 << max(min(wanted, MOST_PARTS).bit_length() - 1, 0)


def multiprocessors() -> int:
    if not torch.cuda.is_available():  # triton's interpreter
        return 8
    return torch.cuda.get_device_properties(torch.cuda.current_device()).multi_processor_count


SCRATCH: dict[Any, list[tuple[Tensor, Tensor]]] = {}


def scratch(device: torch.device, floats: int, counters: int) -> tuple[Tensor, Tensor]:
    """Room for what the parts of a kernel leave each other; the kernels of a device run one after the other.

    What was given once is never let go: a recording goes on using it.
    """
    known = SCRATCH.setdefault(device, [])
    if not known or known[-1][0].numel() < floats or known[-1][1].numel() < counters:
        floats = max([floats, LEAST, *(each.numel() for each, _ in known)])
        counters = max([counters, LEAST, *(each.numel() for _, each in known)])
        known.append(
            (
                torch.empty(floats, dtype=torch.float32, device=device),
                torch.zeros(counters, dtype=torch.int32, device=device),
            )
        )
    return known[-1]


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


@triton.jit
def peak_kernel(
    logits, stride, heat, tops, ids, totals, warm,
    V: tl.constexpr, BLOCKS: tl.constexpr, BLOCK: tl.constexpr, SAMPLED: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """The highest logit of a block of the vocabulary, its id (the first of equals), and the sums beside it."""
    lane, block = tl.program_id(0), tl.program_id(1)
    columns = block * BLOCK + tl.arange(0, BLOCK)
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    values = tl.load(logits + lane * stride + columns, mask=columns < V, other=float("-inf")).to(tl.float32)
    top = tl.max(values, 0)
    first = tl.min(tl.where(values == top, columns, V), 0)
    at = lane * BLOCKS + block
    tl.store(tops + at, top)
    tl.store(ids + at, first)
    tl.store(totals + at, tl.sum(tl.exp(values - top), 0))
    if SAMPLED:
        degree = tl.load(heat + lane)
        tl.store(warm + at, tl.sum(tl.exp((values - top) / tl.where(degree > 0, degree, 1.0)), 0))


@triton.jit
def ordered(values):
    """Whole numbers, not negative, in the order of floats."""
    bits = values.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) + 2147483648


@triton.jit
def value_of(key):
    """The float of an ordered number."""
    bits = (key - 2147483648).to(tl.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def mass(logits, key, highest, degree, V: tl.constexpr, BLOCK: tl.constexpr):
    """The weight of all logits that are not below an ordered number."""
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(logits + columns, mask=columns < V, other=float("-inf")).to(tl.float32)
        sums += tl.where(ordered(values) >= key, tl.exp((values - highest) / degree), 0.0)
    return tl.sum(sums.to(tl.float64), 0)


@triton.jit
def searched(
    logits, wanted, chance, highest, degree, V: tl.constexpr, BLOCK: tl.constexpr, LOW: tl.constexpr
):  # fmt: skip
    """The id on which a chance falls, found by halving: for a nucleus larger than what was sorted."""
    unit: tl.constexpr = 1 << LOW
    edge = tl.zeros((), tl.int64)  # the least that belongs to the nucleus
    wanted = tl.minimum(wanted, mass(logits, edge, highest, degree, V, BLOCK))  # of sums rounded otherwise
    for bit in range(31, LOW - 1, -1):
        higher = edge + (tl.full((), 1, tl.int64) << bit)
        edge = tl.where(mass(logits, higher, highest, degree, V, BLOCK) >= wanted, higher, edge)
    edge += tl.where(edge < 2147483648, unit - 1, 0)  # the low bits of a negative number are turned
    above = mass(logits, edge + 1, highest, degree, V, BLOCK)
    each = tl.exp((value_of(edge) - highest) / degree).to(tl.float64)
    whole = above + tl.ceil((wanted - above) / each) * each
    goal = chance * whole
    edge = tl.zeros((), tl.int64)  # the one drawn, or its equals
    for bit in range(31, LOW - 1, -1):
        higher = edge + (tl.full((), 1, tl.int64) << bit)
        edge = tl.where(mass(logits, higher, highest, degree, V, BLOCK) > goal, higher, edge)
    edge += tl.where(edge < 2147483648, unit - 1, 0)  # the low bits of a negative number are turned
    above = mass(logits, edge + 1, highest, degree, V, BLOCK)
    each = tl.exp((value_of(edge) - highest) / degree).to(tl.float64)
    return nth(logits, value_of(edge), tl.floor((goal - above) / each).to(tl.int32), V, BLOCK)


@triton.jit
def nth(logits, value, place, V: tl.constexpr, BLOCK: tl.constexpr):
    """The id of the logit that equals a value, after so many others that do."""
    passed = tl.zeros((), tl.int32)
    id = tl.zeros((), tl.int32)
    for start in range(0, V, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(logits + columns, mask=columns < V, other=float("-inf")).to(tl.float32)
        equal = (values == value).to(tl.int32)
        here = (equal > 0) & (passed + tl.cumsum(equal, 0) - 1 == place)
        id += tl.sum(tl.where(here, columns, 0), 0)
        passed += tl.sum(equal, 0)
    return id


@triton.jit
def draw_kernel(
    heads, logits, stride, tops, warm, heat, top_p, top_k, chances, width, drawn, picked,
    V: tl.constexpr, BLOCKS: tl.constexpr, PADDED: tl.constexpr, HEADS: tl.constexpr, BLOCK: tl.constexpr,
    LOW: tl.constexpr,
):  # fmt: skip
    """Draw an id for a lane, of its HEADS highest logits where they hold the nucleus."""
    lane = tl.program_id(0)
    degree = tl.load(heat + lane)
    if degree <= 0:
        return
    chance = tl.load(chances + lane * width + tl.load(drawn + lane))
    limit = tl.load(top_k + lane)
    blocks = tl.arange(0, PADDED)
    top = tl.load(tops + lane * BLOCKS + blocks, mask=blocks < BLOCKS, other=float("-inf"))
    part = tl.load(warm + lane * BLOCKS + blocks, mask=blocks < BLOCKS, other=0.0)
    highest = tl.max(top, 0)
    whole = tl.sum((part * tl.exp((top - highest) / degree)).to(tl.float64), 0)
    rank = tl.arange(0, HEADS)
    some = tl.load(heads + lane * HEADS + rank).to(tl.float32)
    shares = tl.exp((some - highest) / degree).to(tl.float64)
    shares = tl.where((limit <= 0) | (rank < limit), shares, 0.0)
    held = tl.sum(shares, 0)
    wanted = tl.load(top_p + lane) * tl.where(limit > 0, held, whole)
    if (limit <= 0) & (held < wanted):
        tl.store(
            picked + lane, searched(logits + lane * stride, wanted, chance, highest, degree, V, BLOCK, LOW)
        )
    else:
        kept = tl.where(tl.cumsum(shares, 0) - shares < wanted, shares, 0.0)
        goal = chance * tl.sum(kept, 0)
        place = tl.minimum(tl.sum((tl.cumsum(kept, 0) <= goal).to(tl.int32), 0), HEADS - 1)
        value = tl.load(heads + lane * HEADS + place).to(tl.float32)
        before = place - tl.sum((some > value).to(tl.int32), 0)  # equals come in the order of their ids
        tl.store(picked + lane, nth(logits + lane * stride, value, before, V, BLOCK))


@triton.jit
def step_kernel(
    tops, firsts, totals, logits, stride, picked, heat, ids, lengths, drawn, found,
    V: tl.constexpr, BLOCKS: tl.constexpr, PADDED: tl.constexpr, SAMPLED: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    """Take a lane's next id, the likeliest or the one that was drawn, and step on."""
    lane = tl.program_id(0)
    blocks = tl.arange(0, PADDED)
    mask = blocks < BLOCKS
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    top = tl.load(tops + lane * BLOCKS + blocks, mask=mask, other=float("-inf"))
    first = tl.load(firsts + lane * BLOCKS + blocks, mask=mask, other=V)
    sums = tl.load(totals + lane * BLOCKS + blocks, mask=mask, other=0.0)
    highest = tl.max(top, 0)
    id = tl.min(tl.where(top == highest, first, V), 0)
    whole = tl.sum(sums * tl.exp(top - highest), 0)
    logit = highest
    if SAMPLED:
        if tl.load(heat + lane) > 0:
            id = tl.load(picked + lane)
            logit = tl.load(logits + lane * stride + id).to(tl.float32)
    tl.store(ids + lane, id.to(tl.int64))
    tl.store(lengths + lane, tl.load(lengths + lane) + 1)
    tl.store(drawn + lane, tl.load(drawn + lane) + 1)
    tl.store(found + 2 * lane, id.to(tl.float32))
    tl.store(found + 2 * lane + 1, logit - highest - tl.log(whole))


def choose(logits: Tensor, place: Board, sampled: bool) -> None:
    """As `plain.choose`, for a top_k of HEADS at most."""
    lanes, words = logits.shape
    block = 1024
    blocks = triton.cdiv(words, block)
    tops = logits.new_empty(lanes, blocks, dtype=torch.float32)
    totals, warm = torch.empty_like(tops), torch.empty_like(tops)
    firsts = torch.empty_like(tops, dtype=torch.int32)
    peak_kernel[(lanes, blocks)](
        logits, logits.stride(0), place.heat, tops, firsts, totals, warm,
        V=words, BLOCKS=blocks, BLOCK=block, SAMPLED=sampled, CHAINED=CHAINED, **chained(),
    )  # fmt: skip
    picked = torch.empty_like(place.ids, dtype=torch.int32)
    padded = triton.next_power_of_2(blocks)
    if sampled:
        heads = logits.topk(HEADS, dim=1).values
        draw_kernel[(lanes,)](
            heads, logits, logits.stride(0), tops, warm, place.heat, place.top_p, place.top_k,
            place.chances, place.chances.stride(0), place.drawn, picked,
            V=words, BLOCKS=blocks, PADDED=padded, HEADS=HEADS, BLOCK=8192, LOW=LOWEST[logits.dtype],
            num_warps=16,
        )  # fmt: skip
    step_kernel[(lanes,)](
        tops, firsts, totals, logits, logits.stride(0), picked, place.heat, place.ids, place.lengths,
        place.drawn, place.found, V=words, BLOCKS=blocks, PADDED=padded, SAMPLED=sampled, CHAINED=CHAINED,
        **chained(),
    )  # fmt: skip
