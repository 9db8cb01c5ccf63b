"""Moves a transformers model to a GPU: fused for our kernels if they support it, else as it is."""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch

from mtchat.errors import ModelError
from mtchat.inference.cuda.decoder import GpuDecoder, slot_count
from mtchat.inference.cuda.quantise import quantise_int4, quantise_int8, quantise_weights
from mtchat.inference.cuda.reference import STEPS_PER_LAUNCH
from mtchat.inference.cuda.scheduler import gpu_scheduler
from mtchat.inference.cuda.weights import (
    FusedLayer,
    FusedWeights,
    GpuShape,
    LinearWeights,
    NormWeights,
    linear_weights,
)
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoders import make_engine
from mtchat.inference.loaders.devices import INT4, INT8
from mtchat.session.prompt import ModelCard

SMALL_MODEL = 2 << 30  # bytes: below, a decode step is so short that launching it counts
SHARE = 0.6  # of the memory left free by the weights that the KV cache may take
QUANTISERS = {INT8: quantise_int8, INT4: quantise_int4}


def gpu_engine(model: Any, tokenizer: Any, card: ModelCard) -> Engine:
    """The engine of a model that is on one GPU or several; the model itself cannot be used afterwards."""
    several_gpus = len({each.device for each in model.parameters()}) > 1
    why = "several GPUs" if several_gpus else unsupported_reason(model.config, type(model).__name__)
    if getattr(model.config, "quantization_config", None) is not None:  # its layers are of other classes
        why = "its weights are quantised already"
    if why or not importlib.util.find_spec("triton"):
        if card.precision in QUANTISERS:
            reason = why or "Triton is not installed"
            raise ModelError(f"cannot run {card.name} in {card.precision}: {reason}; leave out --precision")
        return make_engine(model, tokenizer, card)
    configs = (model.generation_config, model.config)
    from mtchat.inference.cuda import kernels

    with torch.inference_mode():
        weights = fuse(model)
        if card.precision in QUANTISERS:
            weights = quantise_weights(weights, QUANTISERS[card.precision])
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(weights.embedding.device)
        steps_per_launch = STEPS_PER_LAUNCH if weights.bytes < SMALL_MODEL else 1
        decoder = GpuDecoder(weights, slot_count(weights, int(SHARE * free)), kernels, steps_per_launch)
    return Engine(decoder, tokenizer, card, configs=configs, scheduler=gpu_scheduler)


@torch.no_grad()
def fuse_codegen(model: Any) -> FusedWeights:
    """CodeGen: GPT-J's parallel layers, and a fused projection in 4 blocks of queries, values and keys."""
    config, inner = model.config, model.transformer
    heads = config.num_attention_heads
    width = config.n_embd // heads

    def layer(block: Any) -> FusedLayer:
        norm = norm_weights(block.ln_1)
        parts = block.attn.qkv_proj.weight.view(4, 3, -1, config.n_embd)
        queries, values, keys = (parts[:, at].reshape(-1, config.n_embd) for at in range(3))
        feed, back = block.mlp.fc_in, block.mlp.fc_out
        input_proj = torch.cat([queries, keys, values, feed.weight])
        bias = torch.cat([feed.bias.new_zeros(3 * config.n_embd), feed.bias])
        output_proj = torch.cat([block.attn.out_proj.weight, back.weight], 1)
        made = FusedLayer(
            linear_weights(input_proj, bias, norm), linear_weights(output_proj, back.bias.detach())
        )
        release(block)
        return made

    rotary_columns = config.rotary_dim or width
    sines, cosines = inner.h[0].attn.embed_positions.float().split(rotary_columns // 2, 1)
    return FusedWeights(
        GpuShape(heads, heads, width, rotary_columns, True, config.n_positions),
        inner.wte.weight,
        tuple(layer(block) for block in inner.h),
        linear_weights(model.lm_head.weight, model.lm_head.bias, norm_weights(inner.ln_f)),
        cosines.contiguous(),
        sines.contiguous(),
    )


@torch.no_grad()
def fuse_llama(model: Any) -> FusedWeights:
    """Llama and Qwen2: serial layers of attention and a gated feed-forward."""
    config, inner = model.config, model.model
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads

    def layer(block: Any) -> FusedLayer:
        attention, feed = block.self_attn, block.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        input_proj = torch.cat([each.weight for each in projections])
        bias = torch.cat([each.bias for each in projections]) if projections[0].bias is not None else None
        gates = torch.cat([feed.gate_proj.weight, feed.up_proj.weight])
        made = FusedLayer(
            linear_weights(input_proj, bias, norm_weights(block.input_layernorm)),
            linear_of(attention.o_proj),
            linear_weights(gates, None, norm_weights(block.post_attention_layernorm)),
            linear_of(feed.down_proj),
        )
        release(block)
        return made

    places = torch.arange(config.max_position_embeddings, device=inner.embed_tokens.weight.device)
    angles = inner.rotary_emb(inner.embed_tokens.weight, places[None])  # rounded to the weights' precision
    cosines, sines = (each[0, :, : width // 2].float().contiguous() for each in angles)
    return FusedWeights(
        GpuShape(heads, kv_heads, width, width, False, config.max_position_embeddings),
        inner.embed_tokens.weight,
        tuple(layer(block) for block in inner.layers),
        linear_weights(model.lm_head.weight, None, norm_weights(inner.norm)),
        cosines,
        sines,
    )


def linear_of(module: Any) -> LinearWeights:
    return linear_weights(module.weight.detach(), module.bias.detach() if module.bias is not None else None)


def norm_weights(module: Any) -> NormWeights:
    bias = getattr(module, "bias", None)
    epsilon = module.eps if bias is not None else module.variance_epsilon
    return NormWeights(module.weight.detach(), bias.detach() if bias is not None else None, epsilon)


def release(module: Any) -> None:
    """Free the weights of a module that were copied, so that the model is never in memory twice."""
    for parameter in module.parameters():
        parameter.data = parameter.new_empty(0)


def unsupported_reason(config: Any, name: str) -> str:
    """Why the kernels cannot run a model of class `name`; "" if they can."""
    if name not in FUSERS:
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


FUSERS: dict[str, Callable[[Any], FusedWeights]] = {
    "CodeGenForCausalLM": fuse_codegen,
    "LlamaForCausalLM": fuse_llama,
    "Qwen2ForCausalLM": fuse_llama,
}


def fuse(model: Any) -> FusedWeights:
    """Fuse the weights of a model, which is unusable afterwards: they are moved, not copied."""
    return FUSERS[type(model).__name__](model)
