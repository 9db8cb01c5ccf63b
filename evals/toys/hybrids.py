"""The GGUF keys and tensors of architectures with layers that keep a recurrent state."""

from collections.abc import Iterator
from typing import Any

import torch

Facts = dict[str, Any]
Tensors = Iterator[tuple[str, torch.Tensor]]
ATTENTION = "full_attention"


def kv_heads(config: Any) -> list[int]:
    """The heads of keys in each layer: none in those without attention."""
    return [config.num_key_value_heads if kind == ATTENTION else 0 for kind in config.layer_types]


def lfm2_facts(config: Any) -> Facts:
    return {
        "attention.head_count_kv": kv_heads(config),
        "attention.layer_norm_rms_epsilon": config.norm_eps,
        "shortconv.l_cache": config.conv_L_cache,
    }


def granite_hybrid_facts(config: Any) -> Facts:
    """Without rotary positions: `rope.scaling.finetuned` is the switch for them."""
    return {
        "context_length": 2**20,
        "attention.head_count_kv": kv_heads(config),
        "expert_count": config.num_local_experts,
        "expert_used_count": 0,
        "expert_shared_feed_forward_length": config.shared_intermediate_size,
        "feed_forward_length": config.shared_intermediate_size,
        "rope.scaling.finetuned": False,
        "ssm.conv_kernel": config.mamba_d_conv,
        "ssm.state_size": config.mamba_d_state,
        "ssm.group_count": config.mamba_n_groups,
        "ssm.inner_size": config.mamba_n_heads * config.mamba_d_head,
        "ssm.time_step_rank": config.mamba_n_heads,
    }


def qwen35_facts(config: Any) -> Facts:
    values = config.linear_num_value_heads
    part = config.rope_parameters["partial_rotary_factor"]
    return {
        "ssm.conv_kernel": config.linear_conv_kernel_dim,
        "ssm.state_size": config.linear_key_head_dim,
        "ssm.group_count": config.linear_num_key_heads,
        "ssm.time_step_rank": values,
        "ssm.inner_size": config.linear_value_head_dim * values,
        "attention.recurrent_layers": [kind != ATTENTION for kind in config.layer_types],
        "full_attention_interval": config.layer_types.index(ATTENTION) + 1,
        "rope.dimension_count": int(config.head_dim * part),
        "rope.dimension_sections": [11, 11, 10, 0],
    }


def lfm2_tensors(config: Any, name: str, values: torch.Tensor) -> Tensors:
    yield name, values[:, 0] if name.endswith("conv.conv.weight") else values


def granite_hybrid_tensors(config: Any, name: str, values: torch.Tensor) -> Tensors:
    """The shared expert, whose first rows are the gate, is the feed-forward part: it is the only one."""
    stem, _, last = name.rpartition(".")
    layer = name.partition(".shared_mlp.")[0]
    if ".shared_mlp.input_linear" in name:
        gate, up = values.chunk(2)
        yield f"{layer}.mlp.gate_proj.weight", gate
        yield f"{layer}.mlp.up_proj.weight", up
    elif ".shared_mlp.output_linear" in name:
        yield f"{layer}.mlp.down_proj.weight", values
    elif name.endswith("mamba.conv1d.weight"):
        yield name, values[:, 0]
    elif last == "A_log":
        yield name, -torch.exp(values)[:, None]
    elif name.endswith("mamba.D"):
        yield name, values[:, None]
    elif last == "dt_bias":
        yield f"{stem}.dt_proj.bias", values
    elif name.endswith("mamba.norm.weight"):
        yield name, values.reshape(config.mamba_n_groups, -1)
    else:
        yield name, values


def qwen35_tensors(config: Any, name: str, values: torch.Tensor) -> Tensors:
    """Heads of values that share a head of keys are as far apart as possible in GGUF, side by side here."""
    stem, _, last = name.rpartition(".")
    wide = config.linear_value_head_dim
    keys = 2 * config.linear_num_key_heads * config.linear_key_head_dim  # rows of queries and keys
    if "linear_attn." not in name:
        yield name, values + 1 if name.endswith("norm.weight") else values
    elif name.endswith(("in_proj_qkv.weight", "conv1d.weight")):
        rows = values[:, 0] if values.ndim == 3 else values
        yield name, torch.cat([rows[:keys], spread(config, rows[keys:], wide)])
    elif name.endswith("in_proj_z.weight"):
        yield name, spread(config, values, wide)
    elif name.endswith(("in_proj_a.weight", "in_proj_b.weight")):
        yield name, spread(config, values, 1)
    elif name.endswith("out_proj.weight"):
        yield name, spread(config, values.T, wide).T
    elif last == "A_log":
        yield name, -torch.exp(spread(config, values, 1))
    elif last == "dt_bias":
        yield f"{stem}.dt_proj.bias", spread(config, values, 1)
    else:
        yield name, values


def spread(config: Any, rows: torch.Tensor, wide: int) -> torch.Tensor:
    """Rows of value heads, `wide` each, in the order of GGUF: the first head of each head of keys first."""
    groups, heads = config.linear_num_key_heads, config.linear_num_value_heads
    parted = rows.reshape(groups, heads // groups, wide, *rows.shape[1:])
    return parted.swapaxes(0, 1).reshape(rows.shape)
