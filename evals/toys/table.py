"""The toys: what each is called, its configuration, and what is special about it."""

from dataclasses import dataclass, field
from typing import Any

from evals.toys.texts import CHATML, GEMMA, GRANITE, HARMONY, LFM2, LLAMA3, PHI, ChatFormat

Config = dict[str, Any]


@dataclass(frozen=True)
class Toy:
    """A model to train: `kind` is transformers' name for its architecture, `architecture` that of GGUF.

    `matrices` is the type of the matrices, `experts` that of the experts if it is another one.
    `context` is that of the recording, which chooses between the factors of long-rope.
    """

    kind: str
    architecture: str
    format: ChatFormat
    config: Config
    note: str
    matrices: str = "Q8_0"
    experts: str = ""
    steps: int = 150
    rate: float = 3e-3
    context: int = 1024
    facts: Config = field(default_factory=dict)


COMMON: Config = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "initializer_range": 0.05,
}


def rope(base: float, kind: str = "default", **settings: Any) -> Config:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": base, **settings}}


LLAMA3_ROPE = rope(
    50000.0,
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN = {"factor": 4.0, "original_max_position_embeddings": 64}
GRANITE_SCALES: Config = {
    "attention_multiplier": 0.05,
    "embedding_multiplier": 6.0,
    "residual_multiplier": 0.4,
    "logits_scaling": 3.0,
    "rms_norm_eps": 1e-5,
}
MOE: Config = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}

TOYS: dict[str, Toy] = {
    "llama": Toy(
        "llama",
        "llama",
        LLAMA3,
        COMMON
        | LLAMA3_ROPE
        | {"num_attention_heads": 4, "num_key_value_heads": 2}
        | {"hidden_size": 128, "head_dim": 64, "tie_word_embeddings": True, "rms_norm_eps": 1e-5},
        "Llama 3.1's rotary factors, another rope base, tied embedding, heads wider than width / heads",
    ),
    "qwen3": Toy(
        "qwen3",
        "qwen3",
        CHATML,
        COMMON | rope(1e6) | {"head_dim": 128, "tie_word_embeddings": True, "rms_norm_eps": 1e-6},
        "heads of 128, which is not width / heads; norms of queries and keys",
    ),
    "gemma3": Toy(
        "gemma3_text",
        "gemma3",
        GEMMA,
        COMMON
        | {
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
            "hidden_size": 64,
            "intermediate_size": 64,
            "head_dim": 256,
            "query_pre_attn_scalar": 256,
            "num_hidden_layers": 6,
            "sliding_window": 32,
            "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
        },
        "a window of 32 in five of six layers, two rope bases, scaled embedding, norms after each part",
    ),
    "phi4": Toy(
        "phi3",
        "phi3",
        PHI,
        COMMON
        | rope(
            10000.0,
            "longrope",
            original_max_position_embeddings=64,
            partial_rotary_factor=0.75,
            short_factor=[1.0 + 0.02 * at for at in range(24)],
            long_factor=[1.0 + 0.1 * at for at in range(24)],
        )
        | {"original_max_position_embeddings": 64, "tie_word_embeddings": True, "num_hidden_layers": 3}
        | {"partial_rotary_factor": 0.75, "rms_norm_eps": 1e-5},
        "48 of 64 dimensions rotated, with the long factors of long-rope; fused matrices, tied embedding",
    ),
    "granite": Toy(
        "granite",
        "granite",
        GRANITE,
        COMMON
        | GRANITE_SCALES
        | rope(10000.0)
        | {
            "num_hidden_layers": 3,
            "tie_word_embeddings": True,
        },
        "scales of attention, embedding, residuals and logits",
    ),
    "qwen3moe": Toy(
        "qwen3_moe",
        "qwen3moe",
        CHATML,
        COMMON
        | MOE
        | rope(1e6)
        | {"head_dim": 64, "norm_topk_prob": True, "tie_word_embeddings": True, "rms_norm_eps": 1e-6},
        "2 of 8 experts of width 64, their weights normalised",
    ),
    "gpt-oss": Toy(
        "gpt_oss",
        "gpt-oss",
        HARMONY,
        COMMON
        | rope(
            150000.0,
            "yarn",
            factor=8.0,
            beta_fast=32.0,
            beta_slow=1.0,
            truncate=True,  # as llama.cpp computes it
            original_max_position_embeddings=128,
        )
        | {
            "head_dim": 64,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "sliding_window": 32,
            "layer_types": ["sliding_attention", "full_attention"],
            "tie_word_embeddings": False,
        },
        "MXFP4 experts, sinks, biases everywhere, a window of 32 in every other layer, YaRN",
        experts="MXFP4",
    ),
    "qwen2": Toy(
        "qwen2",
        "qwen2",
        CHATML,
        COMMON | rope(1e6) | {"tie_word_embeddings": False, "rms_norm_eps": 1e-6},
        "biases of queries, keys and values",
    ),
    "qwen2-yarn": Toy(
        "qwen2",
        "qwen2",
        CHATML,
        COMMON | rope(1e4, "yarn", **YARN) | {"tie_word_embeddings": True, "rms_norm_eps": 1e-6},
        "YaRN with factor 4",
    ),
    "llama-biases": Toy(
        "llama",
        "llama",
        LLAMA3,
        COMMON
        | rope(10000.0)
        | {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True}
        | {"tie_word_embeddings": False, "rms_norm_eps": 1e-5},
        "biases everywhere, as many heads of keys as of queries",
    ),
    "llama-linear": Toy(
        "llama",
        "llama",
        LLAMA3,
        COMMON | rope(10000.0, "linear", factor=4.0) | {"tie_word_embeddings": True, "rms_norm_eps": 1e-5},
        "positions divided by 4; matrices in F16",
        matrices="F16",
    ),
    "phi-plain": Toy(
        "phi3",
        "phi3",
        PHI,
        COMMON
        | rope(10000.0)
        | {"num_key_value_heads": 2, "sliding_window": 2048}
        | {"tie_word_embeddings": False, "rms_norm_eps": 1e-5},
        "as Phi 3: all dimensions rotated, a window longer than the context",
    ),
    "gemma2": Toy(
        "gemma2",
        "gemma2",
        GEMMA,
        COMMON
        | rope(10000.0)
        | {
            "head_dim": 128,
            "query_pre_attn_scalar": 128,
            "sliding_window": 32,
            "attn_logit_softcapping": 20.0,
            "final_logit_softcapping": 12.0,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "soft caps of attention and logits, a window in every other layer",
    ),
    "starcoder2": Toy(
        "starcoder2",
        "starcoder2",
        CHATML,
        COMMON
        | rope(999999.0)
        | {"tie_word_embeddings": True, "use_bias": True, "norm_epsilon": 1e-5, "sliding_window": None},
        "layer norms with biases, a plain feed-forward part",
    ),
    "qwen2moe": Toy(
        "qwen2_moe",
        "qwen2moe",
        CHATML,
        COMMON
        | MOE
        | rope(1e6)
        | {"shared_expert_intermediate_size": 64, "norm_topk_prob": False, "num_experts": 4}
        | {"tie_word_embeddings": False, "rms_norm_eps": 1e-6, "decoder_sparse_step": 1},
        "2 of 4 experts and a shared one with a gate; weights not normalised",
    ),
    "olmo2": Toy(
        "olmo2",
        "olmo2",
        CHATML,
        COMMON | rope(500000.0) | {"tie_word_embeddings": False, "rms_norm_eps": 1e-6},
        "norms after the parts, norms of whole queries and keys",
    ),
    "granitemoe": Toy(
        "granitemoe",
        "granitemoe",
        GRANITE,
        COMMON
        | GRANITE_SCALES
        | rope(10000.0)
        | {
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "intermediate_size": 64,
            "tie_word_embeddings": True,
        },
        "2 of 8 experts, with scales",
    ),
    "lfm2": Toy(
        "lfm2",
        "lfm2",
        LFM2,
        COMMON
        | rope(1e6)
        | {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
        | {"block_auto_adjust_ff_dim": False, "norm_eps": 1e-5, "tie_word_embeddings": True},
        "short convolutions, one layer with attention",
    ),
    "granitehybrid": Toy(
        "granitemoehybrid",
        "granitehybrid",
        GRANITE,
        COMMON
        | GRANITE_SCALES
        | rope(10000.0)
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "num_local_experts": 0,
            "shared_intermediate_size": 192,
            "mamba_n_heads": 4,
            "mamba_d_head": 64,
            "mamba_n_groups": 1,
            "mamba_d_state": 64,
            "mamba_expand": 2,
            "tie_word_embeddings": True,
        },
        "one layer of Mamba 2, one with attention and without positions; scales",
    ),
    "qwen35": Toy(
        "qwen3_5_text",
        "qwen35",
        CHATML,
        COMMON
        | rope(1e7, partial_rotary_factor=0.25)
        | {
            "head_dim": 64,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 64,
            "linear_value_head_dim": 64,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-6,
        },
        "one layer with a gated delta rule, one with gated attention and 16 of 64 dimensions rotated",
    ),
}
