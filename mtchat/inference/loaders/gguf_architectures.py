"""The GGUF architectures that the CPU kernels compute: for each, all metadata keys and all tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# implied by the shapes of the tensors, or only a limit
IMPLIED = frozenset({"block_count", "vocab_size", "tensor_data_layout", "pooling_type"})
WIDTH, CONTEXT, FEED = "embedding_length", "context_length", "feed_forward_length"
HEADS, KV_HEADS, KEY, VALUE, EPSILON, SCALE = (
    f"attention.{each}"
    for each in (
        *("head_count", "head_count_kv", "key_length", "value_length", "layer_norm_rms_epsilon"),
        "scale",
    )
)
WINDOW, PATTERN = "attention.sliding_window", "attention.sliding_window_pattern"
ROTATED, BASE, LOCAL_BASE = "rope.dimension_count", "rope.freq_base", "rope.freq_base_swa"
SCALING, FACTOR, MAGNITUDE, ORIGINAL, FINETUNED, LOG_SCALE = (
    f"rope.scaling.{each}"
    for each in (
        "type",
        "factor",
        "attn_factor",
        "original_context_length",
        "finetuned",
        "yarn_log_multiplier",
    )
)
BETA_FAST, BETA_SLOW = "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"
EXPERTS, USED_EXPERTS, EXPERT_FEED = "expert_count", "expert_used_count", "expert_feed_forward_length"
EMBEDDING_SCALE, RESIDUAL_SCALE, LOGIT_SCALE = "embedding_scale", "residual_scale", "logit_scale"
ATTENTION_CAP, LOGIT_CAP = "attn_logit_softcapping", "final_logit_softcapping"

PLAIN_BASE = 10000.0  # the default of BASE
COMMON_KEYS = frozenset({WIDTH, CONTEXT, FEED, HEADS, KV_HEADS, KEY, VALUE, EPSILON, ROTATED, BASE})
SCALING_KEYS = frozenset({SCALING, FACTOR, MAGNITUDE, ORIGINAL, FINETUNED, LOG_SCALE, BETA_FAST, BETA_SLOW})
EXPERT_KEYS = frozenset({EXPERTS, USED_EXPERTS, EXPERT_FEED})
# values of further keys that change nothing
NEUTRAL: dict[str, tuple[str | float | bool, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    **dict.fromkeys((EXPERTS, USED_EXPERTS, "expert_shared_count", "expert_group_count"), (0,)),
    "expert_weights_scale": (0, 1),
    "expert_weights_norm": (True,),
    "expert_gating_func": (1, 3),  # softmax over all experts and over those picked: the same shares
    **dict.fromkeys((LOGIT_SCALE, RESIDUAL_SCALE, EMBEDDING_SCALE), (0, 1)),
    **dict.fromkeys((SCALE, ATTENTION_CAP, LOGIT_CAP, WINDOW), (0,)),
    "leading_dense_block_count": (0,),
}

EMBEDDING, OUTPUT, NORM = "token_embd.weight", "output.weight", "output_norm.weight"
FREQUENCIES, LONG_FACTORS, SHORT_FACTORS = (
    f"rope_{each}.weight" for each in ("freqs", "factors_long", "factors_short")
)
FACTORS = frozenset({FREQUENCIES, LONG_FACTORS, SHORT_FACTORS})
# the tensors of a layer by the parts of the kernels, in the order in which a step reads them
ATTENTION = {
    "attention_norm": "attn_norm.weight",
    "query": "attn_q.weight",
    "key": "attn_k.weight",
    "value": "attn_v.weight",
    "output": "attn_output.weight",
}
FEED_FORWARD = {
    "feed_norm": "ffn_norm.weight",
    "gate_up": "ffn_gate.weight",
    "up": "ffn_up.weight",
    "down": "ffn_down.weight",
}
ROUTED = {
    "feed_norm": "ffn_norm.weight",
    "router": "ffn_gate_inp.weight",
    "gate_up": "ffn_gate_exps.weight",
    "up": "ffn_up_exps.weight",
    "down": "ffn_down_exps.weight",
}
QUERY_KEY_VALUE = {f"{part}_bias": f"attn_{part[0]}.bias" for part in ("query", "key", "value")}
HEAD_NORMS = {"query_norm": "attn_q_norm.weight", "key_norm": "attn_k_norm.weight"}
LATER_NORMS = {"attention_post_norm": "post_attention_norm.weight", "feed_post_norm": "post_ffw_norm.weight"}
OUTPUT_BIAS = {"output_bias": "attn_output.bias"}
FEED_BIASES = {f"{part}_bias": f"ffn_{part}.bias" for part in ("gate", "up", "down")}
ROUTED_BIASES = {
    "router_bias": "ffn_gate_inp.bias",
    **{f"{part}_bias": f"ffn_{part}_exps.bias" for part in ("gate", "up", "down")},
}


@dataclass(frozen=True)
class GgufArchitecture:
    """How an architecture is computed, by its files and by llama.cpp's rules for what they leave out.

    `title` is its class in transformers. `keys` are read from its metadata beside COMMON_KEYS. A layer has
    the tensors `needed`, and may have those that are `allowed`; of `renamed` ones the file's name differs.
    `factors` are the tensors of factors of rotary frequencies that a model may have.
    `paired`: the columns 2i and 2i + 1 of a head are rotated together. `fused`: queries, keys and values are
    one matrix, and so are gate and up. `pattern`: of so many layers the last sees all, the others a window.
    `unturned`: each layer of that number has no rotary embedding.
    """

    title: str
    keys: frozenset[str] = SCALING_KEYS
    needed: Mapping[str, str] = field(default_factory=dict)
    allowed: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    factors: frozenset[str] = frozenset()
    paired: bool = False
    fused: bool = False
    activation: str = "silu"
    scaled_embedding: bool = False  # by the root of the width
    pattern: int = 0
    window: int = 0  # the default
    local_base: float = (
        0.0  # the default of the rotary base, without scaling, of layers with a window; 0: as others
    )
    attention_cap: float = 0.0  # the defaults of the soft caps
    logit_cap: float = 0.0
    unturned: int = 0
    wide_layers: int = 0  # models with so many scale attention by width / heads instead of by the head width


LLAMA = GgufArchitecture(
    "LlamaForCausalLM",
    SCALING_KEYS | EXPERT_KEYS | {SCALE},
    allowed=QUERY_KEY_VALUE | OUTPUT_BIAS | FEED_BIASES,
    factors=FACTORS,
    paired=True,
)
ARCHITECTURES: Mapping[str, GgufArchitecture] = {
    "qwen2": GgufArchitecture("Qwen2ForCausalLM", allowed=QUERY_KEY_VALUE),
    "llama": LLAMA,
    "smollm3": GgufArchitecture(
        "SmolLM3ForCausalLM", allowed=QUERY_KEY_VALUE, factors=FACTORS, paired=True, unturned=4
    ),
    "granite": GgufArchitecture(
        "GraniteForCausalLM",
        SCALING_KEYS | {EMBEDDING_SCALE, RESIDUAL_SCALE, LOGIT_SCALE, SCALE},
        allowed=QUERY_KEY_VALUE | OUTPUT_BIAS | FEED_BIASES,
        factors=FACTORS,
        paired=True,
    ),
    "qwen3": GgufArchitecture("Qwen3ForCausalLM", needed=HEAD_NORMS, allowed=QUERY_KEY_VALUE),
    "qwen3moe": GgufArchitecture(
        "Qwen3MoeForCausalLM",
        SCALING_KEYS | EXPERT_KEYS,
        needed=HEAD_NORMS,
        allowed=QUERY_KEY_VALUE,
    ),
    "gemma2": GgufArchitecture(
        "Gemma2ForCausalLM",
        SCALING_KEYS | {WINDOW, PATTERN, LOCAL_BASE, ATTENTION_CAP, LOGIT_CAP},
        needed=LATER_NORMS,
        activation="gelu",
        scaled_embedding=True,
        pattern=2,
        window=4096,
        attention_cap=50.0,
        logit_cap=30.0,
        wide_layers=46,
    ),
    "gemma3": GgufArchitecture(
        "Gemma3ForCausalLM",
        SCALING_KEYS | {WINDOW, PATTERN, LOCAL_BASE, LOGIT_CAP},
        needed=HEAD_NORMS | LATER_NORMS,
        activation="gelu",
        scaled_embedding=True,
        pattern=6,
        local_base=10000.0,
        wide_layers=62,
    ),
    "phi3": GgufArchitecture("Phi3ForCausalLM", SCALING_KEYS | {WINDOW}, factors=FACTORS, fused=True),
    "gpt-oss": GgufArchitecture(
        "GptOssForCausalLM",
        SCALING_KEYS | EXPERT_KEYS | {WINDOW, PATTERN, LOCAL_BASE},
        needed=QUERY_KEY_VALUE | OUTPUT_BIAS | ROUTED_BIASES | {"sinks": "attn_sinks.weight"},
        renamed={"feed_norm": "post_attention_norm.weight"},
        activation="clamped",
        pattern=2,
    ),
}
