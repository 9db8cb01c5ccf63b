"""Tiny random models of the architectures that remember a state or see a window, and their settings."""

from collections.abc import Mapping
from typing import Any

import torch

from mtchat.inference.hf import fast_import

ROWS = 320
ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
MIXED = {"num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"]}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SSM = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
CONVOLUTIONS = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
MODELS: Mapping[str, dict[str, Any]] = {
    "Qwen3Next": {
        **ATTENTION,
        **MIXED,
        **DELTA,
        **EXPERTS,
        "head_dim": 8,
        "shared_expert_intermediate_size": 16,
    },
    "Qwen3_5Text": {**ATTENTION, **MIXED, **DELTA, "head_dim": 8},
    "Lfm2": {**ATTENTION, **CONVOLUTIONS},
    "Lfm2Moe": {**ATTENTION, **CONVOLUTIONS, **EXPERTS, "num_dense_layers": 1},
    "Lfm3": {
        **ATTENTION,
        "num_hidden_layers": 4,
        "layer_types": ["conv", "sliding_attention", "full_attention", "conv"],
        "sliding_window": 6,
    },
    "GraniteMoeHybrid": {
        **ATTENTION,
        **MIXED,
        **SSM,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 16,
    },
    "NemotronH": {
        **ATTENTION,
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp", "linear_attention"],
        "head_dim": 8,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "moe_shared_expert_intermediate_size": 16,
    },
    "Mamba2": {"num_hidden_layers": 3, "num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1},
    "OlmoHybrid": {
        **ATTENTION,
        **MIXED,
        **DELTA,
        "linear_num_value_heads": 2,
    },
    "FalconH1": {**ATTENTION, **SSM, "num_hidden_layers": 2, "head_dim": 8, "mamba_d_ssm": 64},
}
# they ignore their state when they read several tokens at once
ONE_BY_ONE: Mapping[str, dict[str, Any]] = {
    "Mamba": {"num_hidden_layers": 2, "state_size": 8},
    "FalconMamba": {"num_hidden_layers": 2, "state_size": 8},
    "Jamba": {
        **ATTENTION,
        "num_hidden_layers": 3,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
}
# they keep it in their modules, or in a cache of their own
UNSHARED: Mapping[str, dict[str, Any]] = {
    "RecurrentGemma": {
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "lru_width": 32,
        "attention_window_size": 6,
    },
    "MiniMax": {**ATTENTION, **MIXED, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Rwkv": {"num_hidden_layers": 2, "attention_hidden_size": 32, "intermediate_size": 48},
}

WINDOW = {**ATTENTION, "num_hidden_layers": 4, "head_dim": 8, "sliding_window": 6}
TURNS = {"layer_types": ["sliding_attention", "full_attention"] * 2}
# their layers see only the latest tokens
WINDOWED: Mapping[str, dict[str, Any]] = {
    "Gemma3Text": {**WINDOW, **TURNS},
    "Gemma4Text": {
        **WINDOW,
        **TURNS,
        "global_head_dim": 8,
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": ROWS,
    },
    "GptOss": {**WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Phi3": {**ATTENTION, "num_hidden_layers": 3, "sliding_window": 6},
    "Mistral": {**WINDOW},
    "Llama4Text": {
        **ATTENTION,
        "num_hidden_layers": 4,
        "head_dim": 8,
        "attention_chunk_size": 6,
        "intermediate_size_mlp": 48,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "moe_layers": [],
        "no_rope_layers": [1, 1, 1, 0],
    },
}


def recurrent_model(name: str, spread: float = 0.2, dtype: torch.dtype = torch.float32) -> Any:
    """A causal model of an architecture, whose weights are large enough that its greedy text varies."""
    transformers = fast_import.import_transformers()
    settings = (MODELS | ONE_BY_ONE | UNSHARED | WINDOWED)[name]  # type: ignore[operator]
    torch.manual_seed(7)
    sizes = {"vocab_size": ROWS, "hidden_size": 32, "pad_token_id": None}
    config = getattr(transformers, f"{name}Config")(**sizes, **settings)
    config.bos_token_id = config.eos_token_id = None
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=spread)
    return model.to(dtype)
