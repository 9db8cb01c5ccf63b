"""Triton kernels for the steps of `plain`: a layer of one lane takes three of them, or five.

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

WAVES = 2  # programs of an attention for each multiprocessor
MOST_PARTS = 16  # that one path is split into


@triton.jit
def product_kernel(
    x, weight, stride, bias, lifted, residual, norm, out, epsilon, first,
    N: tl.constexpr, K: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    GELU: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One vector through a linear layer, ROWS of its rows in each program."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < N
    place = weight + rows.to(tl.int64)[:, None] * stride
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    ups = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = tl.zeros((COLUMNS,), tl.float32)
    squares = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, K, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        known = columns < K
        mask = inside[:, None] & known[None, :]
        some = tl.load(place + columns[None, :], mask=mask, other=0.0)
        values = tl.load(x + columns, mask=known, other=0.0).to(tl.float32)
        if NORM:
            total += values
            squares += values * values
            values *= tl.load(norm + columns, mask=known, other=0.0).to(tl.float32)
        sums += some.to(tl.float32) * values[None, :]
        if GATE:
            other = tl.load(place + N * stride + columns[None, :], mask=mask, other=0.0)
            ups += other.to(tl.float32) * values[None, :]
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
        return plain.product(x, matrix, residual, activation, first)
    columns = matrix.weight.shape[1]
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(1, count)
    norm = matrix.norm
    bias = matrix.bias if norm is None else matrix.shift
    rows, wide, warps = tile(count, columns, activation == GATE)
    product_kernel[(triton.cdiv(count, rows),)](
        x, matrix.weight, matrix.weight.stride(0), bias, matrix.lifted, residual,
        norm.weight if norm else None, out, norm.epsilon if norm else 0.0, first,
        N=count, K=columns, NORM=0 if norm is None else 1 if norm.bias is not None else 2,
        BIAS=bias is not None, RESIDUAL=residual is not None,
        GELU=activation == GELU, GATE=activation == GATE, ROWS=rows, COLUMNS=wide, num_warps=warps,
    )  # fmt: skip
    return out


def tile(rows: int, columns: int, paired: bool) -> tuple[int, int, int]:
    """Rows and columns that a program takes at a time, and its warps."""
    wide = min(1024, triton.next_power_of_2(columns))
    few = 2 if rows <= 4096 else 4 if rows <= 16384 else 8
    return (max(few // 2, 1) if paired else few), wide, 4


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
):  # fmt: skip
    """The heads of one lane that share a key head, over a part of its path; the last part done joins all."""
    lane, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + lane)
    chunk = tl.cdiv(tl.cdiv(length, PARTS), BLOCK) * BLOCK
    active = tl.maximum(tl.cdiv(length, tl.maximum(chunk, 1)), 1)
    if part >= active:
        return
    g, d = tl.arange(0, PADDED), tl.arange(0, DP)
    heads = kv * GROUP + g
    some = (g < GROUP)[:, None] & (d < D)[None, :]
    begin = inner + lane * stride
    dtype: tl.constexpr = keys.dtype.element_ty
    queries = turned(
        begin + heads[:, None] * D, d[None, :], length, cosines, sines, some, D, R, INTERLEAVED
    ) * scale  # fmt: skip
    most = tl.full((PADDED,), float("-inf"), tl.float32)
    total = tl.zeros((PADDED,), tl.float32)
    sums = tl.zeros((PADDED, DP), tl.float32)
    table = tables + lane.to(tl.int64) * width
    end = tl.minimum((part + 1) * chunk, length)
    for start in range(part * chunk, end, BLOCK):
        n = start + tl.arange(0, BLOCK)
        known = n < end
        slots = tl.load(table + n, mask=known, other=0).to(tl.int64)
        places = (slots * KV + kv)[:, None] * D + d[None, :]
        seen = known[:, None] & (d < D)[None, :]
        key = tl.load(keys + places, mask=seen, other=0.0)
        value = tl.load(values + places, mask=seen, other=0.0)
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
    if part == 0:  # the token itself, whose key nobody else needs in this step
        slot = tl.load(table + length).to(tl.int64)
        own = begin + HEADS * D + kv * D
        key = turned(own, d, length, cosines, sines, d < D, D, R, INTERLEAVED).to(dtype)
        value = tl.load(own + KV * D + d, mask=d < D, other=0.0)
        tl.store(keys + (slot * KV + kv) * D + d, key, mask=d < D)
        tl.store(values + (slot * KV + kv) * D + d, value, mask=d < D)
        score = tl.sum(queries * key.to(tl.float32)[None, :], 1)
        above = tl.maximum(most, score)
        share, fade = tl.exp(score - above), tl.exp(most - above)
        sums = sums * fade[:, None] + share[:, None] * value.to(tl.float32)[None, :]
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
        for each in range(0, active):
            top = tl.load(tops + (row + each) * PADDED + g, cache_modifier=".cg")
            more = tl.load(totals + (row + each) * PADDED + g, cache_modifier=".cg")
            next = tl.load(
                parts + ((row + each) * PADDED + g)[:, None] * DP + d[None, :], cache_modifier=".cg"
            )
            above = tl.maximum(most, top)
            fade, share = tl.exp(most - above), tl.exp(top - above)
            sums = sums * fade[:, None] + next * share[:, None]
            total = total * fade + more * share
            most = above
        tl.store(goal, (sums / total[:, None]).to(dtype), mask=some)
        tl.store(counters + lane * KV + kv, 0)


def attend(
    inner: Tensor, keys: Tensor, values: Tensor, place: Board, weights: Weights, out: Tensor
) -> None:
    """As `plain.attend`."""
    shape, lanes = weights.shape, len(inner)
    group = shape.heads // shape.kv_heads
    padded = 1 if group == 1 else max(16, triton.next_power_of_2(group))
    deep = max(16, triton.next_power_of_2(shape.width))
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
        BLOCK=64 if deep <= 128 else 32, num_warps=4,
    )  # fmt: skip


def spread(programs: int) -> int:
    """How many parts a path is split into, so that all multiprocessors have work."""
    wanted = WAVES * multiprocessors() // programs
    return 1 << max(min(wanted, MOST_PARTS).bit_length() - 1, 0)


def multiprocessors() -> int:
    if not torch.cuda.is_available():  # triton's interpreter
        return 8
    return torch.cuda.get_device_properties(torch.cuda.current_device()).multi_processor_count


SCRATCH: dict[Any, tuple[Tensor, Tensor]] = {}


def scratch(device: torch.device, floats: int, counters: int) -> tuple[Tensor, Tensor]:
    """Room for what parts of attention leave each other; kernels of a device run one after the other."""
    known = SCRATCH.get(device)
    if known is None or known[0].numel() < floats or known[1].numel() < counters:
        SCRATCH[device] = known = (
            torch.empty(floats, dtype=torch.float32, device=device),
            torch.zeros(counters, dtype=torch.int32, device=device),
        )
    return known


@triton.jit
def peak_kernel(
    logits, stride, tops, ids, totals, V: tl.constexpr, BLOCKS: tl.constexpr, BLOCK: tl.constexpr
):
    """The highest logit of a block of the vocabulary, its id (the first of equals), and the sum beside it."""
    lane, block = tl.program_id(0), tl.program_id(1)
    columns = block * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(logits + lane * stride + columns, mask=columns < V, other=float("-inf")).to(tl.float32)
    top = tl.max(values, 0)
    first = tl.min(tl.where(values == top, columns, V), 0)
    at = lane * BLOCKS + block
    tl.store(tops + at, top)
    tl.store(ids + at, first)
    tl.store(totals + at, tl.sum(tl.exp(values - top), 0))


@triton.jit
def step_kernel(
    tops, firsts, totals, logits, stride, picked, heat, ids, lengths, drawn, found,
    V: tl.constexpr, BLOCKS: tl.constexpr, PADDED: tl.constexpr, SAMPLED: tl.constexpr,
):  # fmt: skip
    """Take a lane's next id, the likeliest or the one that was drawn, and step on."""
    lane = tl.program_id(0)
    blocks = tl.arange(0, PADDED)
    mask = blocks < BLOCKS
    top = tl.load(tops + lane * BLOCKS + blocks, mask=mask, other=float("-inf"))
    first = tl.load(firsts + lane * BLOCKS + blocks, mask=mask, other=V)
    sums = tl.load(totals + lane * BLOCKS + blocks, mask=mask, other=0.0)
    highest = tl.max(top, 0)
    id = tl.min(tl.where(top == highest, first, V), 0)
    whole = tl.sum(sums * tl.exp(top - highest), 0)
    logit = highest
    if SAMPLED:
        if tl.load(heat + lane) > 0:
            id = tl.load(picked + lane).to(tl.int32)
            logit = tl.load(logits + lane * stride + id).to(tl.float32)
    tl.store(ids + lane, id.to(tl.int64))
    tl.store(lengths + lane, tl.load(lengths + lane) + 1)
    tl.store(drawn + lane, tl.load(drawn + lane) + 1)
    tl.store(found + 2 * lane, id.to(tl.float32))
    tl.store(found + 2 * lane + 1, logit - highest - tl.log(whole))


def choose(logits: Tensor, place: Board, sampled: bool) -> None:
    """As `plain.choose`."""
    lanes, words = logits.shape
    block = 1024
    blocks = triton.cdiv(words, block)
    tops = logits.new_empty(lanes, blocks, dtype=torch.float32)
    totals, firsts = torch.empty_like(tops), torch.empty_like(tops, dtype=torch.int32)
    peak_kernel[(lanes, blocks)](
        logits, logits.stride(0), tops, firsts, totals, V=words, BLOCKS=blocks, BLOCK=block
    )
    picked = place.ids
    if sampled:
        chance = place.chances.gather(1, place.drawn[:, None])[:, 0]
        heat = place.heat.where(place.heat > 0, 1)
        picked = plain.nucleus(logits.float() / heat[:, None], place.top_p, place.top_k, chance)
    step_kernel[(lanes,)](
        tops, firsts, totals, logits, logits.stride(0), picked, place.heat, place.ids, place.lengths,
        place.drawn, place.found,
        V=words, BLOCKS=blocks, PADDED=triton.next_power_of_2(blocks), SAMPLED=sampled,
    )  # fmt: skip
