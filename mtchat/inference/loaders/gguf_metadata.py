"""Checks that a GGUF file's metadata is what will be computed; files with other settings are refused."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.loaders import gguf_architectures as table
from mtchat.inference.loaders.gguf_architectures import (
    ARCHITECTURES,
    BASE,
    FACTORS,
    HEADS,
    KEY,
    KV_HEADS,
    LOCAL_BASE,
    MAGNITUDE,
    PATTERN,
    PLAIN_BASE,
    ROTATED,
    VALUE,
    WINDOW,
)
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, GgufTensor, MetadataValue

# implied by the shapes of the tensors, or only a limit
SHAPED = {
    *("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size"),
    *("tensor_data_layout", "pooling_type"),
}
SCALING = "rope.scaling."
# values that change nothing
NEUTRAL: dict[str, tuple[MetadataValue, ...]] = {
    **table.NEUTRAL,
    "ssm.dt_b_c_rms": (False,),
    MAGNITUDE: (0, 1),
    HEADS: (0,),
    KV_HEADS: (0,),
}
# the names in transformers' configs, which depend on the architecture
NAMES = {
    HEADS: ("num_attention_heads", "n_head"),
    KV_HEADS: ("num_key_value_heads", "num_kv_heads"),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps", "layer_norm_epsilon"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "use_parallel_residual": ("use_parallel_residual", "parallel_attn"),
    "shortconv.l_cache": ("conv_L_cache",),
    "ssm.conv_kernel": ("conv_kernel",),
    "ssm.state_size": ("state_size",),
    "ssm.time_step_rank": ("time_step_rank",),
    "ssm.inner_size": ("intermediate_size",),
}
SCALED = "query_pre_attn_scalar"
LISTS = {("lfm2", KV_HEADS)}  # arrays that transformers reads
Computed = Mapping[str, object]


def check_metadata(header: GgufHeader, computed: Computed) -> None:
    """ModelError if a file has a key that is not computed with, or with another value than in `computed`.

    Keys are without the architecture's prefix. A key that the file lacks has llama.cpp's default.
    """
    name = str(header.metadata[ARCHITECTURE])
    front = f"{name}."
    stated = {key.removeprefix(front): each for key, each in header.metadata.items() if key.startswith(front)}
    for key in header.array_lengths:
        if key.startswith(front) and (name, key.removeprefix(front)) not in LISTS:
            raise not_computed(f"{key}, an array")
    for key, value in stated.items():
        if (
            key in SHAPED
            or value in NEUTRAL.get(key, ())
            or (key.startswith(SCALING) and is_plain_scaling(key, stated))
        ):
            continue
        meant: object = window_size(value, stated) if key == WINDOW else value
        if key not in computed or not is_same(meant, computed[key]):
            raise not_computed(f"{front}{key} = {format_value(value)}")
    for key, default in default_metadata(name, stated).items():
        known = key in stated or f"{front}{key}" in header.array_lengths
        if not known and key in computed and not is_same(default, computed[key]):
            raise not_computed(f"no {front}{key}, which defaults to {format_value(default)}")


def check_tensors(header: GgufHeader, used: Iterable[str], ones: Callable[[GgufTensor], bool]) -> None:
    """ModelError if a tensor is not used, except rotary frequency factors that are all `ones`."""
    for name in sorted(set(header.tensors) - set(used)):
        if name not in FACTORS or not ones(header.tensors[name]):
            raise not_computed(f"the tensor {name}")


def not_computed(what: str) -> ModelError:
    return ModelError(
        f"the GGUF file has {what[:200]}, which mtchat does not support: its output would be wrong; "
        "give a folder with the model's safetensors"
    )


def format_value(value: object) -> str:
    if isinstance(value, str):
        return value[:80] if value.isprintable() else ascii(value[:80])
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_same(stated: object, computed: object) -> bool:
    """Equality up to the rounding of float32, the type of GGUF metadata."""
    if isinstance(stated, (int, float)) and isinstance(computed, (int, float)):
        return math.isclose(stated, computed, rel_tol=1e-5)
    return stated == computed


def is_plain_scaling(key: str, stated: Mapping[str, MetadataValue]) -> bool:
    """Whether a setting of scaled rotary embeddings changes nothing: none are scaled, or by 1."""
    kind, factor = stated.get(f"{SCALING}type"), stated.get(f"{SCALING}factor", 0)
    scaled = factor not in (0, 1) if kind is None else kind != "none" and factor != 1
    known = ("type", "factor", "finetuned", "original_context_length")
    return not scaled and key.removeprefix(SCALING).startswith((*known, "yarn_"))


def window_size(value: object, stated: Mapping[str, MetadataValue]) -> object:
    """The sliding window; None if it covers the whole context."""
    context = stated.get("context_length", 0)
    wide = isinstance(value, int) and isinstance(context, int) and 0 < context <= value
    return None if wide or not value else value


def default_metadata(name: str, stated: Mapping[str, MetadataValue]) -> dict[str, object]:
    """llama.cpp's defaults for keys that a file lacks."""
    kind = ARCHITECTURES.get(name)
    found: dict[str, object] = {BASE: PLAIN_BASE, WINDOW: (kind and kind.window) or None}
    width, heads = stated.get("embedding_length"), stated.get(HEADS)
    if isinstance(width, int) and isinstance(heads, int) and heads:
        found[KEY] = stated.get(KEY, width // heads)
        found[ROTATED] = found[VALUE] = found[KEY]
        found[KV_HEADS] = heads
        if kind and kind.wide_layers:
            by_width = stated.get("block_count") == kind.wide_layers
            found[SCALED] = width // heads if by_width else found[KEY]
    return found


def config_metadata(config: Any) -> dict[str, object]:
    """What transformers will compute for a config, by GGUF keys."""
    found = {
        key: getattr(config, each)
        for key, names in NAMES.items()
        for each in reversed(names)
        if hasattr(config, each)
    }
    heads = found.get(HEADS)
    if heads:
        found[KV_HEADS] = found.get(KV_HEADS) or heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        found |= {KEY: width, VALUE: width}
        found |= rope_metadata(config, width)
    if (scale := getattr(config, SCALED, None)) is not None:
        found[SCALED] = scale
    kinds = getattr(config, "layer_types", None) or ()
    size = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    limit = getattr(config, "max_position_embeddings", 0)
    slides = size and size < limit and (not kinds or "sliding_attention" in kinds)
    found[WINDOW] = size if slides else None
    if kinds:
        full = [at + 1 for at, kind in enumerate(kinds) if kind == "full_attention"]
        every = full[0] if full else 0
        regular = every and full == list(range(every, len(kinds) + 1, every))
        found[PATTERN] = every if regular else None
    return found


def rope_metadata(config: Any, width: int) -> dict[str, object]:
    rope = getattr(config, "rope_parameters", None)
    if not rope:
        return {}
    whole, local = rope.get("full_attention", rope), rope.get("sliding_attention", rope)
    part = whole.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None) or 1
    return {
        BASE: whole.get("rope_theta"),
        LOCAL_BASE: local.get("rope_theta"),
        ROTATED: int(width * part),
    }
