"""The next id of each sequence: the most likely, or one drawn as `sampler.Sampler` draws it."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda.kernels.launch import PDL, pdl_options
from mtchat.inference.cuda.reference import MAX_TOP_K, DecodeInputs

CANDIDATES = (
    MAX_TOP_K  # of the likeliest tokens that are sorted; where those hold too little, all are searched
)
LOWEST = {
    torch.bfloat16: 16,
    torch.float16: 13,
    torch.float32: 0,
}  # low bits of a float32 that are 0 in these types


@triton.jit
def max_kernel(
    logits, stride, temperature, tops, ids, totals, tempered,
    V: tl.constexpr, BLOCKS: tl.constexpr, BLOCK: tl.constexpr, SAMPLED: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """The highest logit of a block of the vocabulary, its id (the first of equals), and its sums."""
    item, block = tl.program_id(0), tl.program_id(1)
    columns = block * BLOCK + tl.arange(0, BLOCK)
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    values = tl.load(logits + item * stride + columns, mask=columns < V, other=float("-inf")).to(tl.float32)
    top = tl.max(values, 0)
    first = tl.min(tl.where(values == top, columns, V), 0)
    at = item * BLOCKS + block
    tl.store(tops + at, top)
    tl.store(ids + at, first)
    tl.store(totals + at, tl.sum(tl.exp(values - top), 0))
    if SAMPLED:
        degree = tl.load(temperature + item)
        tl.store(tempered + at, tl.sum(tl.exp((values - top) / tl.where(degree > 0, degree, 1.0)), 0))


@triton.jit
def sortable_bits(values):
    """Non-negative integers in the order of floats."""
    bits = values.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) + 2147483648


@triton.jit
def float_of_bits(key):
    """The float of a sortable integer."""
    bits = (key - 2147483648).to(tl.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def weight_from(logits, key, highest, degree, V: tl.constexpr, BLOCK: tl.constexpr):
    """The sum of weights of all logits from a sortable integer up."""
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(logits + columns, mask=columns < V, other=float("-inf")).to(tl.float32)
        sums += tl.where(sortable_bits(values) >= key, tl.exp((values - highest) / degree), 0.0)
    return tl.sum(sums.to(tl.float64), 0)


@triton.jit
def search_nucleus(
    logits, wanted, uniform, highest, degree, V: tl.constexpr, BLOCK: tl.constexpr, LOW: tl.constexpr
):  # fmt: skip
    """The drawn id, found by bisection: for a nucleus that is larger than the sorted candidates."""
    unit: tl.constexpr = 1 << LOW
    edge = tl.zeros((), tl.int64)  # the least that belongs to the nucleus
    wanted = tl.minimum(
        wanted, weight_from(logits, edge, highest, degree, V, BLOCK)
    )  # the sums are rounded differently
    for bit in range(31, LOW - 1, -1):
        higher = edge + (tl.full((), 1, tl.int64) << bit)
        edge = tl.where(weight_from(logits, higher, highest, degree, V, BLOCK) >= wanted, higher, edge)
    edge += tl.where(edge < 2147483648, unit - 1, 0)  # the low bits of a negative number are turned
    above = weight_from(logits, edge + 1, highest, degree, V, BLOCK)
    each = tl.exp((float_of_bits(edge) - highest) / degree).to(tl.float64)
    whole = above + tl.ceil((wanted - above) / each) * each
    goal = uniform * whole
    edge = tl.zeros((), tl.int64)  # the one drawn, or its equals
    for bit in range(31, LOW - 1, -1):
        higher = edge + (tl.full((), 1, tl.int64) << bit)
        edge = tl.where(weight_from(logits, higher, highest, degree, V, BLOCK) > goal, higher, edge)
    edge += tl.where(edge < 2147483648, unit - 1, 0)  # the low bits of a negative number are turned
    above = weight_from(logits, edge + 1, highest, degree, V, BLOCK)
    each = tl.exp((float_of_bits(edge) - highest) / degree).to(tl.float64)
    return nth_equal(logits, float_of_bits(edge), tl.floor((goal - above) / each).to(tl.int32), V, BLOCK)


@triton.jit
def nth_equal(logits, value, place, V: tl.constexpr, BLOCK: tl.constexpr):
    """The id of a logit that equals a value, the one with number `place` of them."""
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
    candidates, logits, stride, tops, tempered, temperature, top_p, top_k, uniforms, width, rng_step, picked,
    V: tl.constexpr, BLOCKS: tl.constexpr, PADDED: tl.constexpr, CANDIDATES: tl.constexpr,
    BLOCK: tl.constexpr,
    LOW: tl.constexpr,
):  # fmt: skip
    """Draw an id for a sequence, from its CANDIDATES highest logits if they hold the nucleus."""
    item = tl.program_id(0)
    degree = tl.load(temperature + item)
    if degree <= 0:
        return
    uniform = tl.load(uniforms + item * width + tl.load(rng_step + item))
    limit = tl.load(top_k + item)
    blocks = tl.arange(0, PADDED)
    top = tl.load(tops + item * BLOCKS + blocks, mask=blocks < BLOCKS, other=float("-inf"))
    part = tl.load(tempered + item * BLOCKS + blocks, mask=blocks < BLOCKS, other=0.0)
    highest = tl.max(top, 0)
    whole = tl.sum((part * tl.exp((top - highest) / degree)).to(tl.float64), 0)
    rank = tl.arange(0, CANDIDATES)
    some = tl.load(candidates + item * CANDIDATES + rank).to(tl.float32)
    shares = tl.exp((some - highest) / degree).to(tl.float64)
    shares = tl.where((limit <= 0) | (rank < limit), shares, 0.0)
    held = tl.sum(shares, 0)
    wanted = tl.load(top_p + item) * tl.where(limit > 0, held, whole)
    if (limit <= 0) & (held < wanted):
        tl.store(
            picked + item,
            search_nucleus(logits + item * stride, wanted, uniform, highest, degree, V, BLOCK, LOW),
        )
    else:
        kept = tl.where(tl.cumsum(shares, 0) - shares < wanted, shares, 0.0)
        goal = uniform * tl.sum(kept, 0)
        place = tl.minimum(tl.sum((tl.cumsum(kept, 0) <= goal).to(tl.int32), 0), CANDIDATES - 1)
        value = tl.load(candidates + item * CANDIDATES + place).to(tl.float32)
        before = place - tl.sum((some > value).to(tl.int32), 0)  # equals come in the order of their ids
        tl.store(picked + item, nth_equal(logits + item * stride, value, before, V, BLOCK))


@triton.jit
def step_kernel(
    tops, firsts, totals, logits, stride, picked, temperature, ids, lengths, rng_step, found,
    V: tl.constexpr, BLOCKS: tl.constexpr, PADDED: tl.constexpr, SAMPLED: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """Store a sequence's next id, the most likely or the drawn one, and advance its inputs."""
    item = tl.program_id(0)
    blocks = tl.arange(0, PADDED)
    mask = blocks < BLOCKS
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    top = tl.load(tops + item * BLOCKS + blocks, mask=mask, other=float("-inf"))
    first = tl.load(firsts + item * BLOCKS + blocks, mask=mask, other=V)
    sums = tl.load(totals + item * BLOCKS + blocks, mask=mask, other=0.0)
    highest = tl.max(top, 0)
    id = tl.min(tl.where(top == highest, first, V), 0)
    whole = tl.sum(sums * tl.exp(top - highest), 0)
    logit = highest
    if SAMPLED:  # noqa: SIM102 - known when this is compiled, the other is not
        if tl.load(temperature + item) > 0:
            id = tl.load(picked + item)
            logit = tl.load(logits + item * stride + id).to(tl.float32)
    tl.store(ids + item, id.to(tl.int64))
    tl.store(lengths + item, tl.load(lengths + item) + 1)
    tl.store(rng_step + item, tl.load(rng_step + item) + 1)
    tl.store(found + 2 * item, id.to(tl.float32))
    tl.store(found + 2 * item + 1, logit - highest - tl.log(whole))


def sample(logits: Tensor, inputs: DecodeInputs, output: Tensor, sampled: bool) -> None:
    """As `reference.sample`, for a top_k up to MAX_TOP_K."""
    batch, words = logits.shape
    block = 1024
    blocks = triton.cdiv(words, block)
    tops = logits.new_empty(batch, blocks, dtype=torch.float32)
    totals, tempered = torch.empty_like(tops), torch.empty_like(tops)
    firsts = torch.empty_like(tops, dtype=torch.int32)
    max_kernel[(batch, blocks)](
        logits, logits.stride(0), inputs.temperature, tops, firsts, totals, tempered,
        V=words, BLOCKS=blocks, BLOCK=block, SAMPLED=sampled, PDL=PDL, **pdl_options(),
    )  # fmt: skip
    picked = torch.empty_like(inputs.ids, dtype=torch.int32)
    padded = triton.next_power_of_2(blocks)
    if sampled:
        candidates = logits.topk(CANDIDATES, dim=1).values
        draw_kernel[(batch,)](
            candidates, logits, logits.stride(0), tops, tempered, inputs.temperature, inputs.top_p,
            inputs.top_k, inputs.uniforms, inputs.uniforms.stride(0), inputs.rng_step, picked,
            V=words, BLOCKS=blocks, PADDED=padded, CANDIDATES=CANDIDATES, BLOCK=8192,
            LOW=LOWEST[logits.dtype], num_warps=16,
        )  # fmt: skip
    step_kernel[(batch,)](
        tops, firsts, totals, logits, logits.stride(0), picked, inputs.temperature, inputs.ids,
        inputs.lengths, inputs.rng_step, output,
        V=words, BLOCKS=blocks, PADDED=padded, SAMPLED=sampled, PDL=PDL, **pdl_options(),
    )  # fmt: skip
