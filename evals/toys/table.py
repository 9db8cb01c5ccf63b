"""The toys: what each is called, its configuration, and what is special about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evals.toys.texts import CHATML, GEMMA, GRANITE, HARMONY, LLAMA3, PHI, ChatFormat

Config = Mapping[str, Any]


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
        | rope(10000.0)
        | {
            "num_hidden_layers": 3,
            "attention_multiplier": 0.05,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.4,
            "logits_scaling": 3.0,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-5,
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
}
