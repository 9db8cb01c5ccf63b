"""Puts a transformers model on a GPU: through the kernels where they can compute it."""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch

from mtchat.errors import ModelError
from mtchat.inference.cuda.decoder import GpuDecoder, slots
from mtchat.inference.cuda.quantise import in_4_bits, in_8_bits, rounded
from mtchat.inference.cuda.reference import RUN
from mtchat.inference.cuda.scheduler import lanes
from mtchat.inference.cuda.weights import Layer, Matrix, Norm, Shape, Weights, matrix
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.loaders.devices import INT4, INT8
from mtchat.session.prompt import ModelCard

SMALL = 2 << 30  # bytes: a step over fewer is so short that starting it counts
SHARE = 0.6  # of the memory that is free beside the weights
ROUNDED = {INT8: in_8_bits, INT4: in_4_bits}


def engine(model: Any, tokenizer: Any, card: ModelCard) -> Engine:
    """The engine of a model that is on a GPU, or spread over some; it is not to be used otherwise then."""
    configs = (model.generation_config, model.config)
    spread = len({each.device for each in model.parameters()}) > 1
    why = "several GPUs" if spread else obstacle(model.config, type(model).__name__)
    if why or not importlib.util.find_spec("triton"):
        if card.precision in ROUNDED:
            reason = why or "no Triton is here"
            raise ModelError(
                f"cannot compute {card.name} in {card.precision}: {reason}; leave --precision out"
            )
        return Engine(TorchDecoder(model), tokenizer, card, configs=configs)
    from mtchat.inference.cuda import kernels

    with torch.inference_mode():
        weights = fused(model)
        if card.precision in ROUNDED:
            weights = rounded(weights, ROUNDED[card.precision])
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(weights.embedding.device)
        run = RUN if weights.bytes < SMALL else 1
        decoder = GpuDecoder(weights, slots(weights, int(SHARE * free)), kernels, run)
    return Engine(decoder, tokenizer, card, configs=configs, writers=lanes)


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
