"""Attention over KV slots: of one token per sequence (decode), and of many tokens at once (prefill).

Decode attention is split into parts of the sequence, which the last part to finish merges; the same kernel
rotates and stores the token's own key. Prefill never writes the scores to memory: FlashAttention, Dao et al.
2022, arXiv:2205.14135.
"""

import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda.kernels.launch import PDL, multiprocessors, pdl_options, scratch
from mtchat.inference.cuda.reference import BLOCK, DecodeInputs, PrefillInputs
from mtchat.inference.cuda.weights import FusedWeights, GpuShape

WAVES = 4  # programs for each multiprocessor
MOST_PARTS = 16  # of one sequence


@triton.jit
def apply_rope(
    base, d, at, cosines, sines, mask, D: tl.constexpr, R: tl.constexpr, INTERLEAVED: tl.constexpr
):
    """Columns of heads in float32, the first R of each rotated by the angles of their positions."""
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
    inner, stride, keys, values, slot_tables, width, lengths, cosines, sines, out, out_stride,
    parts, tops, totals, counters, scale,
    HEADS: tl.constexpr, KV: tl.constexpr, GROUP: tl.constexpr, PADDED: tl.constexpr, D: tl.constexpr,
    DP: tl.constexpr, R: tl.constexpr, INTERLEAVED: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """The heads of one token that share a KV head, over a part of its sequence; the last part merges all."""
    item, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    # results of earlier steps are complete; the output of this step's projection is waited for
    length = tl.load(lengths + item)
    chunk = tl.cdiv(tl.cdiv(length, PARTS), BLOCK) * BLOCK
    active = tl.maximum(tl.cdiv(length, tl.maximum(chunk, 1)), 1)
    if part >= active:
        if PDL:
            tl.extra.cuda.gdc_launch_dependents()
        return
    g, d = tl.arange(0, PADDED), tl.arange(0, DP)
    heads = kv * GROUP + g
    some = (g < GROUP)[:, None] & (d < D)[None, :]
    begin = inner + item * stride
    dtype: tl.constexpr = keys.dtype.element_ty
    table = slot_tables + item.to(tl.int64) * width
    begun, end = part * chunk, tl.minimum((part + 1) * chunk, length)
    n = begun + tl.arange(0, BLOCK)
    slots = tl.load(table + n, mask=n < end, other=0).to(tl.int64)
    places = (slots * KV + kv)[:, None] * D + d[None, :]
    seen = (n < end)[:, None] & (d < D)[None, :]
    key = tl.load(keys + places, mask=seen, other=0.0)
    value = tl.load(values + places, mask=seen, other=0.0)
    own_slot = tl.load(table + length).to(tl.int64)
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    queries = apply_rope(
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
    if part == 0:  # the token itself, whose key no other program needs in this step
        own = begin + HEADS * D + kv * D
        own_key = apply_rope(own, d, length, cosines, sines, d < D, D, R, INTERLEAVED).to(dtype)
        own_value = tl.load(own + KV * D + d, mask=d < D, other=0.0)
        tl.store(keys + (own_slot * KV + kv) * D + d, own_key, mask=d < D)
        tl.store(values + (own_slot * KV + kv) * D + d, own_value, mask=d < D)
        score = tl.sum(queries * own_key.to(tl.float32)[None, :], 1)
        above = tl.maximum(most, score)
        share, fade = tl.exp(score - above), tl.exp(most - above)
        sums = sums * fade[:, None] + share[:, None] * own_value.to(tl.float32)[None, :]
        total = total * fade + share
        most = above
    goal = out + item * out_stride + heads[:, None] * D + d[None, :]
    if active == 1:
        tl.store(goal, (sums / total[:, None]).to(dtype), mask=some)
        return
    row = (item * KV + kv) * PARTS
    tl.store(tops + (row + part) * PADDED + g, most)
    tl.store(totals + (row + part) * PADDED + g, total)
    tl.store(parts + ((row + part) * PADDED + g)[:, None] * DP + d[None, :], sums)
    tl.debug_barrier()
    before = tl.atomic_add(counters + item * KV + kv, 1, sem="acq_rel")
    if before == active - 1:
        most = tl.full((PADDED,), float("-inf"), tl.float32)
        total = tl.zeros((PADDED,), tl.float32)
        sums = tl.zeros((PADDED, DP), tl.float32)
        for each in tl.static_range(PARTS):  # unrolled, so that all loads are issued at once
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
        tl.store(counters + item * KV + kv, 0)


def attend(
    inner: Tensor, keys: Tensor, values: Tensor, inputs: DecodeInputs, weights: FusedWeights, out: Tensor
) -> None:
    """As `reference.attend`."""
    shape, batch = weights.shape, len(inner)
    group = shape.heads // shape.kv_heads
    padded = 1 if group == 1 else max(16, triton.next_power_of_2(group))
    sizes = shape_constants(shape)
    deep = sizes["DP"]
    block, warps = tile_shape(deep, padded)
    parts = split_count(batch * shape.kv_heads)
    rows = batch * shape.kv_heads * parts
    aside = scratch(inner.device, rows * padded * (deep + 2), batch * shape.kv_heads)
    cut = rows * padded
    attend_kernel[(batch, shape.kv_heads, parts)](
        inner, inner.stride(0), keys, values, inputs.slot_tables, inputs.slot_tables.stride(0),
        inputs.lengths, weights.cosines, weights.sines, out, out.stride(0),
        aside[0][2 * cut :], aside[0][:cut], aside[0][cut : 2 * cut], aside[1], shape.width**-0.5,
        **sizes, GROUP=group, PADDED=padded, PARTS=parts,
        BLOCK=block, PDL=PDL, num_warps=warps, **pdl_options(),
    )  # fmt: skip


def shape_constants(shape: GpuShape) -> dict[str, int]:
    """A model's shape as constants of the attention kernels: DP is the head width D, padded."""
    return {
        "HEADS": shape.heads,
        "KV": shape.kv_heads,
        "D": shape.width,
        "DP": max(16, triton.next_power_of_2(shape.width)),
        "R": shape.rotary_columns,
        "INTERLEAVED": shape.interleaved,
    }


def tile_shape(deep: int, padded: int) -> tuple[int, int]:
    """Tokens that a program of decode attention takes at a time, and its warps."""
    if padded > 1:
        return 128, 8
    return (64, 2) if deep <= 64 else (32, 4)


def split_count(programs: int) -> int:
    """How many parts a sequence is split into, so that all multiprocessors have work."""
    wanted = WAVES * multiprocessors() // programs
    return 1 << max(min(wanted, MOST_PARTS).bit_length() - 1, 0)


@triton.jit(do_not_specialize=["count"])
def store_kv_kernel(
    inner, stride, keys, values, slots, positions, cosines, sines, count,
    HEADS: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, R: tl.constexpr,
    INTERLEAVED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rotate and store one key head of some tokens, and store its values."""
    token, kv = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    d = tl.arange(0, DP)[None, :]
    there = token < count
    some = there[:, None] & (d < D)
    at = tl.load(positions + token, mask=there, other=0)
    own = inner + token.to(tl.int64)[:, None] * stride + (HEADS + kv) * D
    key = apply_rope(own, d, at[:, None], cosines, sines, some, D, R, INTERLEAVED)
    value = tl.load(own + KV * D + d, mask=some, other=0.0)
    slot = tl.load(slots + token, mask=there, other=0).to(tl.int64)
    place = (slot * KV + kv)[:, None] * D + d
    tl.store(keys + place, key.to(keys.dtype.element_ty), mask=some)
    tl.store(values + place, value, mask=some)


@triton.jit(do_not_specialize=["width"])
def prefill_kernel(
    inner, stride, keys, values, slot_tables, width, blocks, cosines, sines, out, out_stride, scale,
    HEADS: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, R: tl.constexpr,
    INTERLEAVED: tl.constexpr, QUERIES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One head of a block of tokens over all that they attend to."""
    block, head = blocks + 4 * tl.program_id(0), tl.program_id(1)
    row, first = tl.load(block), tl.load(block + 1)
    count, start = tl.load(block + 2), tl.load(block + 3)
    if count == 0:
        return
    dtype: tl.constexpr = keys.dtype.element_ty
    kv = head // (HEADS // KV)
    m, d = tl.arange(0, QUERIES), tl.arange(0, DP)[None, :]
    at = tl.minimum(start + m, start + count - 1)
    some = (m < count)[:, None] & (d < D)
    token = (first + m).to(tl.int64)[:, None]
    own = inner + token * stride + head * D
    queries = apply_rope(own, d, at[:, None], cosines, sines, some, D, R, INTERLEAVED).to(dtype)
    table = slot_tables + row.to(tl.int64) * width
    most = tl.full((QUERIES,), float("-inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    sums = tl.zeros((QUERIES, DP), tl.float32)
    for begin in range(0, start + count, BLOCK):
        n = begin + tl.arange(0, BLOCK)
        known = n < start + count
        slots = tl.load(table + n, mask=known, other=0).to(tl.int64)
        places = (slots * KV + kv)[:, None] * D + d
        seen = known[:, None] & (d < D)
        key = tl.load(keys + places, mask=seen, other=0.0)
        value = tl.load(values + places, mask=seen, other=0.0)
        scores = tl.dot(queries, tl.trans(key), input_precision="ieee") * scale
        scores = tl.where(n[None, :] <= at[:, None], scores, float("-inf"))
        above = tl.maximum(most, tl.max(scores, 1))
        shares = tl.exp(scores - above[:, None])
        fade = tl.exp(most - above)
        sums = tl.dot(shares.to(dtype), value, sums * fade[:, None], input_precision="ieee")
        total = total * fade + tl.sum(shares, 1)
        most = above
    goal = out + token * out_stride + head * D + d
    tl.store(goal, (sums / total[:, None]).to(dtype), mask=some)


def attend_prefill(
    inner: Tensor, keys: Tensor, values: Tensor, inputs: PrefillInputs, weights: FusedWeights, out: Tensor
) -> None:
    """As `reference.attend_prefill`."""
    shape, count = weights.shape, len(inner)
    sizes = shape_constants(shape)
    store_kv_kernel[(triton.cdiv(count, 16), shape.kv_heads)](
        inner, inner.stride(0), keys, values, inputs.slots, inputs.positions, weights.cosines, weights.sines,
        count, **sizes, BLOCK=16,
    )  # fmt: skip
    block, warps = (64, 4) if sizes["DP"] <= 128 else (32, 8)
    prefill_kernel[(len(inputs.blocks), shape.heads)](
        inner, inner.stride(0), keys, values, inputs.slot_tables, inputs.slot_tables.stride(0), inputs.blocks,
        weights.cosines, weights.sines, out, out.stride(0), shape.width**-0.5,
        **sizes, QUERIES=BLOCK, BLOCK=block, num_warps=warps,
    )  # fmt: skip
