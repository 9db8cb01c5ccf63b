"""The weights of a transformers model as few large matrices, so that a token's step reads each once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """A layer's normalisation: LayerNorm where it has a bias, else by the root mean square."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float


@dataclass(frozen=True)
class Matrix:
    """A linear layer (N, K) after a normalisation of its input, if any.

    `lifted` (N,) is the sum over K of each row times the norm's weight, and `shift` (N,) what the norm's bias
    and the layer's own add: with them a product needs no normalised copy of its input. Where there are
    `scales` (N,), the weight is whole numbers of 8 bits, and each row is that times its scale.

    Where there are `groups` (N, K / G, 2), the weight is words (N, K / 8) of 32 bits, numbers of 4: column
    32 b + 4 p + j is the p-th number, from the low bits on, of word 4 b + j. A group of G columns is a step
    and a least: a weight is the step times its number, and the least.
    """

    weight: Tensor
    bias: Tensor | None
    norm: Norm | None = None
    lifted: Tensor | None = None
    shift: Tensor | None = None
    scales: Tensor | None = None
    groups: Tensor | None = None

    @property
    def columns(self) -> int:
        return self.weight.shape[1] * (1 if self.groups is None else 8)

    @property
    def group(self) -> int:
        """The columns of a group; 0 where there are none."""
        return 0 if self.groups is None else self.columns // self.groups.shape[1]

    @property
    def pairs(self) -> Tensor | None:
        """The groups (N, K / G), a step and a least in each word of 32 bits."""
        return None if self.groups is None else self.groups.view(torch.int32)[..., 0]

    @property
    def bytes(self) -> int:
        """Of the weight and what gives it back."""
        parts = [each for each in (self.weight, self.scales, self.groups) if each is not None]
        return sum(each.numel() * each.element_size() for each in parts)


@dataclass(frozen=True)
class Layer:
    """`inward` gives queries, keys and values, in a parallel layer the feed-forward's inside too.

    `outward` takes what attention found, in a parallel layer the feed-forward's inside behind it. A serial
    layer goes on with `gates` (gates above ups) and `down`.
    """

    inward: Matrix
    outward: Matrix
    gates: Matrix | None = None
    down: Matrix | None = None


@dataclass(frozen=True)
class Shape:
    """`width` is that of one head, of which the first `rotated` turn: pairs side by side, or half by half."""

    heads: int
    kv_heads: int
    width: int
    rotated: int
    interleaved: bool
    context: int


@dataclass(frozen=True)
class Weights:
    """A model; `cosines` and `sines` (P, rotated / 2) are those of each position."""

    shape: Shape
    embedding: Tensor
    layers: tuple[Layer, ...]
    head: Matrix
    cosines: Tensor
    sines: Tensor

    @property
    def bytes(self) -> int:
        """What one token's step reads."""
        return sum(each.bytes for each in matrices(self))


def matrix(weight: Tensor, bias: Tensor | None, norm: Norm | None = None) -> Matrix:
    """A linear layer with what is known of its product beforehand."""
    made = Matrix(weight, bias, norm, shift=bias.float() if norm and bias is not None else None)
    return reckoned(made, torch.split(weight, 4096))


def reckoned(matrix: Matrix, parts: Iterable[Tensor]) -> Matrix:
    """A layer with its `lifted` and `shift`, where its norm has a bias; its rows come in parts."""
    norm = matrix.norm
    if norm is None or norm.bias is None:
        return matrix
    scale, bias = norm.weight.float(), norm.bias.float()
    found = [(rows @ scale, rows @ bias) for rows in (part.float() for part in parts)]
    lifted, shift = (torch.cat(each) for each in zip(*found, strict=True))
    return replace(matrix, lifted=lifted, shift=shift if matrix.bias is None else shift + matrix.bias.float())


@torch.no_grad()
def codegen(model: Any) -> Weights:
    """GPT-J's layers, attention and feed-forward side by side; a fused projection in 4 blocks of q, v, k."""
    config, inner = model.config, model.transformer
    heads = config.num_attention_heads
    width = config.n_embd // heads

    def layer(block: Any) -> Layer:
        norm = norm_of(block.ln_1)
        parts = block.attn.qkv_proj.weight.view(4, 3, -1, config.n_embd)
        queries, values, keys = (parts[:, at].reshape(-1, config.n_embd) for at in range(3))
        feed, back = block.mlp.fc_in, block.mlp.fc_out
        inward = torch.cat([queries, keys, values, feed.weight])
        bias = torch.cat([feed.bias.new_zeros(3 * config.n_embd), feed.bias])
        outward = torch.cat([block.attn.out_proj.weight, back.weight], 1)
        made = Layer(matrix(inward, bias, norm), matrix(outward, back.bias.detach()))
        drop(block)
        return made

    rotated = config.rotary_dim or width
    sines, cosines = inner.h[0].attn.embed_positions.float().split(rotated // 2, 1)
    return Weights(
        Shape(heads, heads, width, rotated, True, config.n_positions),
        inner.wte.weight,
        tuple(layer(block) for block in inner.h),
        matrix(model.lm_head.weight, model.lm_head.bias, norm_of(inner.ln_f)),
        cosines.contiguous(),
        sines.contiguous(),
    )


@torch.no_grad()
def llama(model: Any) -> Weights:
    """Llama's layers and Qwen2's: attention, then a gated feed-forward."""
    config, inner = model.config, model.model
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads

    def layer(block: Any) -> Layer:
        attention, feed = block.self_attn, block.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        inward = torch.cat([each.weight for each in projections])
        bias = torch.cat([each.bias for each in projections]) if projections[0].bias is not None else None
        gates = torch.cat([feed.gate_proj.weight, feed.up_proj.weight])
        made = Layer(
            matrix(inward, bias, norm_of(block.input_layernorm)),
            linear(attention.o_proj),
            matrix(gates, None, norm_of(block.post_attention_layernorm)),
            linear(feed.down_proj),
        )
        drop(block)
        return made

    places = torch.arange(config.max_position_embeddings, device=inner.embed_tokens.weight.device)
    angles = inner.rotary_emb(inner.embed_tokens.weight, places[None])  # rounded as the weights are
    cosines, sines = (each[0, :, : width // 2].float().contiguous() for each in angles)
    return Weights(
        Shape(heads, kv_heads, width, width, False, config.max_position_embeddings),
        inner.embed_tokens.weight,
        tuple(layer(block) for block in inner.layers),
        matrix(model.lm_head.weight, None, norm_of(inner.norm)),
        cosines,
        sines,
    )


def linear(module: Any) -> Matrix:
    return matrix(module.weight.detach(), module.bias.detach() if module.bias is not None else None)


def norm_of(module: Any) -> Norm:
    bias = getattr(module, "bias", None)
    epsilon = module.eps if bias is not None else module.variance_epsilon
    return Norm(module.weight.detach(), bias.detach() if bias is not None else None, epsilon)


def drop(module: Any) -> None:
    """Let go of weights that were copied: a model is not held twice."""
    for parameter in module.parameters():
        parameter.data = parameter.new_empty(0)


def obstacle(config: Any, name: str) -> str:
    """Why a model of a class so named cannot be computed so; "" where it can."""
    if name not in READERS:
        return f"the architecture {name}"
    if name == "CodeGenForCausalLM":
        return "" if config.activation_function == "gelu_new" else f"activation {config.activation_function}"
    if getattr(config, "use_sliding_window", False):
        return "a sliding window"
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        return f"rotary embeddings of type {rope['rope_type']}"
    if getattr(config, "mlp_bias", False):
        return "feed-forward biases"
    return "" if config.hidden_act == "silu" else f"activation {config.hidden_act}"


READERS: dict[str, Callable[[Any], Weights]] = {
    "CodeGenForCausalLM": codegen,
    "LlamaForCausalLM": llama,
    "Qwen2ForCausalLM": llama,
}


def fused(model: Any) -> Weights:
    """The weights of a model, which is of no use afterwards: they are moved, not copied."""
    return READERS[type(model).__name__](model)


def matrices(weights: Weights) -> Iterator[Matrix]:
    for layer in weights.layers:
        yield from (each for each in (layer.inward, layer.outward, layer.gates, layer.down) if each)
    yield weights.head
