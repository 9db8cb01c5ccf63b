"""Attention of many tokens at once over the slots of their sequences, as a prompt is read.

The scores are never written down: FlashAttention, Dao et al. 2022, arXiv:2205.14135.
"""

import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda.kernels.attention import measures, turned
from mtchat.inference.cuda.plain import BLOCK, Page
from mtchat.inference.cuda.weights import Weights


@triton.jit(do_not_specialize=["count"])
def put_kernel(
    inner, stride, keys, values, slots, positions, cosines, sines, count,
    HEADS: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, R: tl.constexpr,
    INTERLEAVED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Turn one key head of some tokens, and put it and its values away."""
    token, kv = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    d = tl.arange(0, DP)[None, :]
    there = token < count
    some = there[:, None] & (d < D)
    at = tl.load(positions + token, mask=there, other=0)
    own = inner + token.to(tl.int64)[:, None] * stride + (HEADS + kv) * D
    key = turned(own, d, at[:, None], cosines, sines, some, D, R, INTERLEAVED)
    value = tl.load(own + KV * D + d, mask=some, other=0.0)
    slot = tl.load(slots + token, mask=there, other=0).to(tl.int64)
    place = (slot * KV + kv)[:, None] * D + d
    tl.store(keys + place, key.to(keys.dtype.element_ty), mask=some)
    tl.store(values + place, value, mask=some)


@triton.jit(do_not_specialize=["width"])
def read_kernel(
    inner, stride, keys, values, tables, width, blocks, cosines, sines, out, out_stride, scale,
    HEADS: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, R: tl.constexpr,
    INTERLEAVED: tl.constexpr, QUERIES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One head of a block of tokens over all that they see."""
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
    queries = turned(own, d, at[:, None], cosines, sines, some, D, R, INTERLEAVED).to(dtype)
    table = tables + row.to(tl.int64) * width
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


def attend_all(
    inner: Tensor, keys: Tensor, values: Tensor, page: Page, weights: Weights, out: Tensor
) -> None:
    """As `plain.attend_all`."""
    shape, count = weights.shape, len(inner)
    sizes = measures(shape)
    put_kernel[(triton.cdiv(count, 16), shape.kv_heads)](
        inner, inner.stride(0), keys, values, page.slots, page.positions, weights.cosines, weights.sines,
        count, **sizes, BLOCK=16,
    )  # fmt: skip
    block, warps = (64, 4) if sizes["DP"] <= 128 else (32, 8)
    read_kernel[(len(page.blocks), shape.heads)](
        inner, inner.stride(0), keys, values, page.tables, page.tables.stride(0), page.blocks,
        weights.cosines, weights.sines, out, out.stride(0), shape.width**-0.5,
        **sizes, QUERIES=BLOCK, BLOCK=block, num_warps=warps,
    )  # fmt: skip
