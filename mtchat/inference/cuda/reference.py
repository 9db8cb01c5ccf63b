"""The steps of a layer as torch operations: the reference for the kernels, also used for large batches."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from mtchat.inference.cuda.quantise import dequantise
from mtchat.inference.cuda.weights import FusedWeights, GpuShape, LinearWeights, NormWeights

GELU, GATE = "gelu", "gate"
MAX_STEPS = 128  # the most steps that inputs are filled for
STEPS_PER_LAUNCH = 4  # the most steps of one launch
MAX_TOP_K = 256  # the largest top_k of the sampling kernel
BLOCK = 64  # tokens of a sequence that one prefill program computes


@dataclass(frozen=True)
class DecodeInputs:
    """The buffers of a decode batch of B sequences, on the device, of fixed shapes; each step updates them.

    `ids` (B,) come next, at positions `lengths` (B,); `slot_tables` (B, P) has the slot of each position.
    `temperature` (0 is greedy), `top_p` and `top_k` (B,) are the sampling settings; `uniforms` (B, MAX_STEPS)
    are random numbers in [0, 1), of which `rng_step` (B,) are used. `output` (STEPS_PER_LAUNCH, B, 2) is what
    each step of a launch sampled: the id and its log-probability.
    """

    ids: Tensor
    lengths: Tensor
    slot_tables: Tensor
    temperature: Tensor
    top_p: Tensor
    top_k: Tensor
    uniforms: Tensor
    rng_step: Tensor
    output: Tensor


@dataclass(frozen=True)
class PrefillInputs:
    """The inputs of a prefill of T tokens of R sequences in one pass; tensors on one device.

    `ids` (T,) are at `positions` (T,), and their keys and values go to `slots` (T,); `slot_tables` (R, P) has
    the slot of each position of a sequence. Each of the `blocks` (N, 4) is up to BLOCK tokens of one
    sequence: its row, its first token, the number of tokens, and the position of the first.
    """

    ids: Tensor
    positions: Tensor
    slots: Tensor
    slot_tables: Tensor
    blocks: Tensor

    def to(self, device: torch.device) -> "PrefillInputs":
        return PrefillInputs(*(getattr(self, each.name).to(device) for each in fields(self)))

    def copy_from(self, inputs: "PrefillInputs") -> None:
        """Copy inputs that are no larger into these; the rest stays as it is."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(inputs, each.name)
            mine[tuple(slice(size) for size in theirs.shape)].copy_(theirs)


def decode_inputs(size: int, context: int, device: torch.device) -> DecodeInputs:
    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    return DecodeInputs(
        ids=zeros(size, dtype=torch.long),
        lengths=zeros(size, dtype=torch.int32),
        slot_tables=zeros(size, context, dtype=torch.int32),
        temperature=zeros(size, dtype=torch.float32),
        top_p=zeros(size, dtype=torch.float64),
        top_k=zeros(size, dtype=torch.int32),
        uniforms=zeros(size, MAX_STEPS, dtype=torch.float64),
        rng_step=zeros(size, dtype=torch.long),
        output=zeros(STEPS_PER_LAUNCH, size, 2, dtype=torch.float32),
    )


def embed(table: Tensor, ids: Tensor) -> Tensor:
    """The embeddings (B, E) of ids (B,)."""
    return functional.embedding(ids, table)


def apply_norm(x: Tensor, norm: NormWeights | None) -> Tensor:
    """LayerNorm if there is a bias, else RMSNorm."""
    if norm is None:
        return x
    if norm.bias is None:
        return functional.rms_norm(x, norm.weight.shape, norm.weight, norm.epsilon)
    return functional.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)


def linear(
    x: Tensor,
    matrix: LinearWeights,
    residual: Tensor | None = None,
    activation: str = "",
    first: int = 0,
    late: int = 0,
) -> Tensor:
    """x (B, K) through the norm and the weight (N, K) of a linear layer, and the epilogue: (B, N).

    `activation` is none, GELU of the columns from `first` on, or GATE: SiLU of the lower half of the columns
    times the upper half, (B, N / 2). With `late`, only the first `late` columns of x come from the kernel
    just before this one: a kernel can load the others before that one is done.
    """
    x = apply_norm(x, matrix.norm)
    if matrix.scales is None:
        out = functional.linear(x, dequantise(matrix, x.dtype), matrix.bias)
    else:
        sums = functional.linear(x, matrix.weight.to(x.dtype)).float() * matrix.scales
        out = (sums if matrix.bias is None else sums + matrix.bias).to(x.dtype)
    if activation == GELU:
        torch.ops.aten.gelu_(out[:, first:], approximate="tanh")
    elif activation == GATE:
        gates, ups = out.chunk(2, 1)
        out = functional.silu(gates) * ups
    return out if residual is None else out + residual


def apply_rope(x: Tensor, cosines: Tensor, sines: Tensor, shape: GpuShape) -> Tensor:
    """Rotary embedding: heads (T, H, D), the first `rotary_columns` of each rotated by (T, columns / 2)."""
    some, rest = x[..., : shape.rotary_columns].float(), x[..., shape.rotary_columns :]
    cosines, sines = cosines[:, None], sines[:, None]
    if shape.interleaved:
        left, right = some[..., ::2], some[..., 1::2]
    else:
        left, right = some.chunk(2, -1)
    pair = (left * cosines - right * sines, right * cosines + left * sines)
    mixed = torch.stack(pair, -1).flatten(-2) if shape.interleaved else torch.cat(pair, -1)
    return torch.cat([mixed.to(x.dtype), rest], -1)


def split(inner: Tensor, shape: GpuShape) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (T, H, D), keys and values (T, KV, D) from the output of a layer's input projection."""
    ends = [shape.heads * shape.width, (shape.heads + shape.kv_heads) * shape.width]
    last = ends[1] + shape.kv_heads * shape.width
    parts = (inner[:, : ends[0]], inner[:, ends[0] : ends[1]], inner[:, ends[1] : last])
    queries, keys, values = (each.reshape(len(inner), -1, shape.width) for each in parts)
    return queries, keys, values


def attend(
    inner: Tensor, keys: Tensor, values: Tensor, inputs: DecodeInputs, weights: FusedWeights, out: Tensor
) -> None:
    """Attention of one token of each sequence over the sequence, itself included: into `out` (B, H * D).

    `inner` (B, N) begins with the token's query, key and value; `keys` and `values` (C, KV, D) are this
    layer's KV cache, to which the token's own are added.
    """
    shape = weights.shape
    at = inputs.lengths.long()
    cosines, sines = weights.cosines[at], weights.sines[at]
    query, key, value = split(inner, shape)
    query, key = apply_rope(query, cosines, sines, shape), apply_rope(key, cosines, sines, shape)
    slots = inputs.slot_tables.gather(1, at[:, None])[:, 0].long()
    keys[slots], values[slots] = key, value
    longest = int(at.max()) + 1
    table = inputs.slot_tables[:, :longest].long()
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


def attend_prefill(
    inner: Tensor, keys: Tensor, values: Tensor, inputs: PrefillInputs, weights: FusedWeights, out: Tensor
) -> None:
    """As `attend`, for all tokens of a prefill: each sees its sequence up to itself."""
    shape = weights.shape
    cosines, sines = weights.cosines[inputs.positions], weights.sines[inputs.positions]
    query, key, value = split(inner, shape)
    query, key = apply_rope(query, cosines, sines, shape), apply_rope(key, cosines, sines, shape)
    keys[inputs.slots], values[inputs.slots] = key, value
    for row, first, count, start in inputs.blocks.tolist():
        path = inputs.slot_tables[row, : start + count]
        seen = (
            torch.arange(start + count, device=inner.device) <= inputs.positions[first : first + count, None]
        )
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


def sample(logits: Tensor, inputs: DecodeInputs, output: Tensor, sampled: bool) -> None:
    """Sample the next id of each sequence after logits (B, V) into `output` (B, 2), and advance `inputs`."""
    logits = logits.float()
    ids = logits.argmax(1)
    if sampled:
        uniform = inputs.uniforms.gather(1, inputs.rng_step[:, None])[:, 0]
        temperature = inputs.temperature.where(inputs.temperature > 0, 1)
        drawn = sample_nucleus(logits / temperature[:, None], inputs.top_p, inputs.top_k, uniform)
        ids = drawn.where(inputs.temperature > 0, ids)
    output[:, 0] = ids.float()  # exact: a vocabulary has less than 2**24 words
    output[:, 1] = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(1)
    inputs.ids.copy_(ids)
    inputs.lengths.add_(1)
    inputs.rng_step.add_(1)


def sample_nucleus(scaled: Tensor, top_p: Tensor, top_k: Tensor, uniform: Tensor) -> Tensor:
    """One id of each row (B, V), by one number in [0, 1) each: as `sampler.Sampler` draws it."""
    weights = scaled.sub(scaled.amax(1, keepdim=True)).exp()
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    return draw_sorted(ordered, order, weights.sum(1, dtype=torch.float64), top_p, top_k, uniform)


def draw_sorted(
    ordered: Tensor, order: Tensor, whole: Tensor, top_p: Tensor, top_k: Tensor, uniform: Tensor
) -> Tensor:
    """The drawn id of `order` (B, K), sorted by descending weight; `whole` (B,) is the sum of all weights."""
    shares = ordered.double()
    rank = torch.arange(shares.shape[1], device=shares.device)
    limit = top_k.where(top_k > 0, shares.shape[1])
    shares = shares.where(rank < limit[:, None], 0)
    wanted = top_p * whole.where(top_k == 0, shares.sum(1))
    shares = shares.where(shares.cumsum(1) - shares < wanted[:, None], 0)
    sums = shares.cumsum(1)
    index = torch.searchsorted(sums, (uniform * sums[:, -1])[:, None], right=True)[:, 0]
    return order.gather(1, index.clamp(max=order.shape[1] - 1)[:, None])[:, 0]
