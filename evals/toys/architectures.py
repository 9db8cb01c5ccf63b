"""The GGUF keys and tensors of each architecture, by the configuration of its transformers model."""

import math
from collections.abc import Iterator
from typing import Any

import torch

from evals.toys import hybrids

Facts = dict[str, Any]


def whole_rope(config: Any) -> dict[str, Any]:
    """The rotary settings, of the layers without a window if there are two sets."""
    found: dict[str, Any] = dict(config.rope_parameters)
    return found.get("full_attention", found)


def facts_of(architecture: str, config: Any) -> Facts:
    """The keys of a file, without the architecture's prefix."""
    facts: Facts = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "rope.freq_base": float(whole_rope(config)["rope_theta"]),
    }
    if hasattr(config, "rms_norm_eps"):
        facts["attention.layer_norm_rms_epsilon"] = config.rms_norm_eps
    head = getattr(config, "head_dim", None)
    if head and not architecture.startswith("granite"):
        facts |= {"attention.key_length": head, "attention.value_length": head}
    own = {
        "llama": llama_facts,
        "granite": granite_facts,
        "granitemoe": granite_facts,
        "gemma2": gemma2_facts,
        "starcoder2": starcoder2_facts,
        "gemma3": gemma3_facts,
        "phi3": phi3_facts,
        "qwen2moe": expert_facts,
        "qwen3moe": expert_facts,
        "gpt-oss": gpt_oss_facts,
        "lfm2": hybrids.lfm2_facts,
        "granitehybrid": lambda config: granite_facts(config) | hybrids.granite_hybrid_facts(config),
        "qwen35": hybrids.qwen35_facts,
    }
    facts |= own.get(architecture, lambda _: {})(config)
    return facts | scaling_facts(config)


def head_width(config: Any) -> int:
    return getattr(config, "head_dim", None) or int(config.hidden_size // config.num_attention_heads)


def llama_facts(config: Any) -> Facts:
    return {
        "rope.dimension_count": getattr(config, "head_dim", None)
        or config.hidden_size // config.num_attention_heads
    }


def granite_facts(config: Any) -> Facts:
    facts = llama_facts(config)
    if experts := getattr(config, "num_local_experts", 0):
        facts |= {"expert_count": experts, "expert_used_count": config.num_experts_per_tok}
    return facts | {
        "attention.scale": config.attention_multiplier,
        "embedding_scale": config.embedding_multiplier,
        "residual_scale": config.residual_multiplier,
        "logit_scale": config.logits_scaling,
    }


def gemma2_facts(config: Any) -> Facts:
    return {
        "attention.sliding_window": config.sliding_window,
        "attn_logit_softcapping": config.attn_logit_softcapping,
        "final_logit_softcapping": config.final_logit_softcapping,
    }


def starcoder2_facts(config: Any) -> Facts:
    return {"attention.layer_norm_epsilon": config.norm_epsilon}


def gemma3_facts(config: Any) -> Facts:
    local = config.rope_parameters["sliding_attention"]["rope_theta"]
    return {"attention.sliding_window": config.sliding_window, "rope.freq_base_swa": float(local)}


def phi3_facts(config: Any) -> Facts:
    settings = whole_rope(config)
    width = config.hidden_size // config.num_attention_heads
    known = settings.get("original_max_position_embeddings", config.max_position_embeddings)
    facts: Facts = {
        "rope.dimension_count": int(width * settings.get("partial_rotary_factor", 1.0)),
        "rope.scaling.original_context_length": known,
        "attention.sliding_window": config.sliding_window or 0,
    }
    if settings["rope_type"] == "longrope":
        ratio = config.max_position_embeddings / known
        facts["rope.scaling.attn_factor"] = math.sqrt(1 + math.log(ratio) / math.log(known))
    return facts


def expert_facts(config: Any) -> Facts:
    facts: Facts = {
        "expert_count": config.num_experts,
        "expert_used_count": config.num_experts_per_tok,
        "expert_feed_forward_length": config.moe_intermediate_size,
    }
    if shared := getattr(config, "shared_expert_intermediate_size", 0):
        facts["expert_shared_feed_forward_length"] = shared
    return facts


def gpt_oss_facts(config: Any) -> Facts:
    return {
        "expert_count": config.num_local_experts,
        "expert_used_count": config.num_experts_per_tok,
        "expert_feed_forward_length": config.intermediate_size,
        "attention.sliding_window": config.sliding_window,
    }


def scaling_facts(config: Any) -> Facts:
    settings = whole_rope(config)
    if settings["rope_type"] == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": float(settings["factor"])}
    if settings["rope_type"] != "yarn":
        return {}
    facts: Facts = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": float(settings["factor"]),
        "rope.scaling.original_context_length": settings["original_max_position_embeddings"],
    }
    for name in ("beta_fast", "beta_slow"):
        if settings.get(name) is not None:
            facts[f"rope.scaling.yarn_{name}"] = float(settings[name])
    return facts


def tensors_of(architecture: str, model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights by their names in transformers, as a file has them: (rows, columns), experts first."""
    config = model.config
    tied = getattr(config, "tie_word_embeddings", False)
    for name, values in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        yield from changed(architecture, config, name, values.detach().float())
    yield from rotary_factors(config)


def changed(
    architecture: str, config: Any, name: str, values: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a file that come of one tensor of transformers."""
    part = name.split(".")[-2]
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    own = {
        "gpt-oss": gpt_oss_tensors,
        "lfm2": hybrids.lfm2_tensors,
        "granitehybrid": hybrids.granite_hybrid_tensors,
        "qwen35": hybrids.qwen35_tensors,
    }
    if architecture.startswith(("llama", "granite")) and part in heads:
        yield name, in_pairs(values, heads[part])
    elif architecture in own:
        yield from own[architecture](config, name, values)
    elif architecture.startswith("gemma") and name.endswith("norm.weight"):
        yield name, values + 1
    elif name.endswith("experts.gate_up_proj"):
        gate, up = values.chunk(2, dim=1)
        stem = name.removesuffix("gate_up_proj")
        yield f"{stem}gate_proj.weight", gate
        yield f"{stem}up_proj.weight", up
    elif name.endswith("experts.down_proj"):
        yield f"{name}.weight", values
    elif name.endswith("shared_expert_gate.weight"):
        yield name, values[0]
    else:
        yield name, values


def in_pairs(values: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head in the order that Llama's rotation has in GGUF: pairs side by side."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def gpt_oss_tensors(config: Any, name: str, values: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Experts are (E, columns, rows) here, and rows of gate and up alternate."""
    stem, _, last = name.rpartition(".")
    if last == "sinks":
        yield f"{name}.weight", values
    elif last in ("gate_up_proj", "gate_up_proj_bias"):
        end = "bias" if last.endswith("bias") else "weight"
        rows = values if end == "bias" else values.transpose(1, 2)
        yield f"{stem}.gate_proj.{end}", rows[:, ::2]
        yield f"{stem}.up_proj.{end}", rows[:, 1::2]
    elif last in ("down_proj", "down_proj_bias"):
        biases = last.endswith("bias")
        yield (
            f"{stem}.down_proj.{'bias' if biases else 'weight'}",
            values if biases else values.transpose(1, 2),
        )
    else:
        yield name, values


def rotary_factors(config: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """By which the frequencies are divided, under their GGUF names."""
    settings = whole_rope(config)
    if settings["rope_type"] == "longrope":
        yield "rope_factors_long.weight", torch.tensor(settings["long_factor"])
        yield "rope_factors_short.weight", torch.tensor(settings["short_factor"])
    if settings["rope_type"] == "llama3":
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        frequencies = settings["rope_theta"] ** (-torch.arange(0, width, 2).float() / width)
        yield (
            "rope_freqs.weight",
            torch.tensor([llama3_factor(each, settings) for each in frequencies.tolist()]),
        )


def llama3_factor(frequency: float, settings: dict[str, Any]) -> float:
    """Waves longer than the trained context are slowed down by the factor, short ones not at all."""
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    waves = settings["original_max_position_embeddings"] * frequency / (2 * math.pi)  # in the trained context
    kept = min(max((waves - low) / (high - low), 0.0), 1.0)
    return 1 / ((1 - kept) / settings["factor"] + kept)
