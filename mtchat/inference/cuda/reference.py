"""The steps of a layer in torch's own words: what the kernels must give, and what computes many tokens."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from mtchat.inference.cuda.quantise import whole
from mtchat.inference.cuda.weights import Matrix, Norm, Shape, Weights

GELU, GATE = "gelu", "gate"
RESERVED = 128  # steps that a board is filled for at most
RUN = 4  # steps at most that are started together
SORTABLE = 256  # the largest top_k that the kernels draw with
BLOCK = 64  # tokens of a sequence that are read together


@dataclass(frozen=True)
class Board:
    """What a step of B lanes reads and leaves for the next; all of it on the device, of fixed shapes.

    `ids` (B,) come next, at the positions `lengths` (B,); `tables` (B, P) has the slot of each position.
    `heat`, `top_p` and `top_k` (B,) are the samplings, a heat of 0 being greedy; `chances` (B, RESERVED) the
    numbers in [0, 1) that are drawn with, of which `drawn` (B,) are used. `found` (RUN, B, 2) is what was
    chosen in each step of a run: the id, and its log-probability.
    """

    ids: Tensor
    lengths: Tensor
    tables: Tensor
    heat: Tensor
    top_p: Tensor
    top_k: Tensor
    chances: Tensor
    drawn: Tensor
    found: Tensor


@dataclass(frozen=True)
class Page:
    """What T tokens of R sequences are read with, all in one pass; tensors on one device.

    `ids` (T,) stand at `positions` (T,), and their keys and values go into `slots` (T,); `tables` (R, P) has
    the slot of each position of a sequence. Each of the `blocks` (N, 4) is up to BLOCK tokens of one
    sequence: its row, its first token, how many they are, and the position of the first.
    """

    ids: Tensor
    positions: Tensor
    slots: Tensor
    tables: Tensor
    blocks: Tensor

    def to(self, device: torch.device) -> "Page":
        return Page(*(getattr(self, each.name).to(device) for each in fields(self)))

    def take(self, page: "Page") -> None:
        """Copy a page that is no larger into this one, whose rest stays."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(page, each.name)
            mine[tuple(slice(size) for size in theirs.shape)].copy_(theirs)


def board(lanes: int, context: int, device: torch.device) -> Board:
    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    return Board(
        ids=zeros(lanes, dtype=torch.long),
        lengths=zeros(lanes, dtype=torch.int32),
        tables=zeros(lanes, context, dtype=torch.int32),
        heat=zeros(lanes, dtype=torch.float32),
        top_p=zeros(lanes, dtype=torch.float64),
        top_k=zeros(lanes, dtype=torch.int32),
        chances=zeros(lanes, RESERVED, dtype=torch.float64),
        drawn=zeros(lanes, dtype=torch.long),
        found=zeros(RUN, lanes, 2, dtype=torch.float32),
    )


def embed(table: Tensor, ids: Tensor) -> Tensor:
    """The rows (B, E) of ids (B,)."""
    return functional.embedding(ids, table)


def normalised(x: Tensor, norm: Norm | None) -> Tensor:
    if norm is None:
        return x
    if norm.bias is None:
        return functional.rms_norm(x, norm.weight.shape, norm.weight, norm.epsilon)
    return functional.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)


def product(
    x: Tensor,
    matrix: Matrix,
    residual: Tensor | None = None,
    activation: str = "",
    first: int = 0,
    late: int = 0,
) -> Tensor:
    """x (B, K) through a layer (N, K), with its normalisation before it: (B, N).

    `activation` is none, GELU of the columns from the `first` on, or GATE: the upper half of the columns are
    gates of the lower, and (B, N / 2) come out. Where `late` is not 0, all but so many of the first columns
    of x are older than what was computed last: a kernel can take them before that is done.
    """
    x = normalised(x, matrix.norm)
    if matrix.scales is None:
        out = functional.linear(x, whole(matrix, x.dtype), matrix.bias)
    else:
        sums = functional.linear(x, matrix.weight.to(x.dtype)).float() * matrix.scales
        out = (sums if matrix.bias is None else sums + matrix.bias).to(x.dtype)
    if activation == GELU:
        torch.ops.aten.gelu_(out[:, first:], approximate="tanh")
    elif activation == GATE:
        gates, ups = out.chunk(2, 1)
        out = functional.silu(gates) * ups
    return out if residual is None else out + residual


def turned(x: Tensor, cosines: Tensor, sines: Tensor, shape: Shape) -> Tensor:
    """Heads (T, H, D) with their first `rotated` numbers turned by the angles (T, rotated / 2)."""
    some, rest = x[..., : shape.rotated].float(), x[..., shape.rotated :]
    cosines, sines = cosines[:, None], sines[:, None]
    if shape.interleaved:
        left, right = some[..., ::2], some[..., 1::2]
    else:
        left, right = some.chunk(2, -1)
    pair = (left * cosines - right * sines, right * cosines + left * sines)
    mixed = torch.stack(pair, -1).flatten(-2) if shape.interleaved else torch.cat(pair, -1)
    return torch.cat([mixed.to(x.dtype), rest], -1)


def split(inner: Tensor, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (T, H, D), keys and values (T, KV, D) of what a layer's first product gave."""
    ends = [shape.heads * shape.width, (shape.heads + shape.kv_heads) * shape.width]
    last = ends[1] + shape.kv_heads * shape.width
    parts = (inner[:, : ends[0]], inner[:, ends[0] : ends[1]], inner[:, ends[1] : last])
    queries, keys, values = (each.reshape(len(inner), -1, shape.width) for each in parts)
    return queries, keys, values


def attend(inner: Tensor, keys: Tensor, values: Tensor, place: Board, weights: Weights, out: Tensor) -> None:
    """Attention of one token of each lane over its path, itself included: to `out` (B, H * D).

    `inner` (B, N) begins with the token's query, key and value; `keys` and `values` (C, KV, D) are the slots
    of this layer, into which the token's own are put.
    """
    shape = weights.shape
    at = place.lengths.long()
    cosines, sines = weights.cosines[at], weights.sines[at]
    query, key, value = split(inner, shape)
    query, key = turned(query, cosines, sines, shape), turned(key, cosines, sines, shape)
    slots = place.tables.gather(1, at[:, None])[:, 0].long()
    keys[slots], values[slots] = key, value
    longest = int(at.max()) + 1
    table = place.tables[:, :longest].long()
    seen = torch.arange(longest, device=at.device) <= at[:, None]
    out.copy_(
        functional.scaled_dot_product_attention(
            query[:, :, None],
            keys[table].transpose(1, 2),
            values[table].transpose(1, 2),
            attn_mask=seen[:, None, None],
            enable_gqa=shape.kv_heads != shape.heads,
        ).flatten(1)
    )


def attend_all(
    inner: Tensor, keys: Tensor, values: Tensor, page: Page, weights: Weights, out: Tensor
) -> None:
    """As `attend`, of all tokens of a page: each sees its sequence up to itself."""
    shape = weights.shape
    cosines, sines = weights.cosines[page.positions], weights.sines[page.positions]
    query, key, value = split(inner, shape)
    query, key = turned(query, cosines, sines, shape), turned(key, cosines, sines, shape)
    keys[page.slots], values[page.slots] = key, value
    for row, first, count, start in page.blocks.tolist():
        path = page.tables[row, : start + count]
        seen = torch.arange(start + count, device=inner.device) <= page.positions[first : first + count, None]
        out[first : first + count] = (
            functional.scaled_dot_product_attention(
                query[first : first + count].transpose(0, 1),
                keys[path].transpose(0, 1),
                values[path].transpose(0, 1),
                attn_mask=seen,
                enable_gqa=shape.kv_heads != shape.heads,
            )
            .transpose(0, 1)
            .flatten(1)
        )


def choose(logits: Tensor, place: Board, found: Tensor, sampled: bool) -> None:
    """Take the next id of each lane after logits (B, V), tell it in `found` (B, 2), and step on."""
    logits = logits.float()
    ids = logits.argmax(1)
    if sampled:
        chance = place.chances.gather(1, place.drawn[:, None])[:, 0]
        heat = place.heat.where(place.heat > 0, 1)
        drawn = nucleus(logits / heat[:, None], place.top_p, place.top_k, chance)
        ids = drawn.where(place.heat > 0, ids)
    found[:, 0] = ids.float()  # exact: a vocabulary has less than 2**24 words
    found[:, 1] = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(1)
    place.ids.copy_(ids)
    place.lengths.add_(1)
    place.drawn.add_(1)


def nucleus(scaled: Tensor, top_p: Tensor, top_k: Tensor, chance: Tensor) -> Tensor:
    """One id of each row (B, V), by a number in [0, 1) each: as `sampling.Chooser` draws it."""
    weights = scaled.sub(scaled.amax(1, keepdim=True)).exp()
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    return drawn_of(ordered, order, weights.sum(1, dtype=torch.float64), top_p, top_k, chance)


def drawn_of(
    ordered: Tensor, order: Tensor, whole: Tensor, top_p: Tensor, top_k: Tensor, chance: Tensor
) -> Tensor:
    """The id that a chance falls on, of ids `order` (B, K) whose weights descend, of a `whole` (B,)."""
    shares = ordered.double()
    rank = torch.arange(shares.shape[1], device=shares.device)
    limit = top_k.where(top_k > 0, shares.shape[1])
    shares = shares.where(rank < limit[:, None], 0)
    wanted = top_p * whole.where(top_k == 0, shares.sum(1))
    shares = shares.where(shares.cumsum(1) - shares < wanted[:, None], 0)
    sums = shares.cumsum(1)
    place = torch.searchsorted(sums, (chance * sums[:, -1])[:, None], right=True)[:, 0]
    return order.gather(1, place.clamp(max=order.shape[1] - 1)[:, None])[:, 0]
