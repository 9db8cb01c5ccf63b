"""Qwen2 in plain numpy, against which the kernels are tested, and files with the types of Q4_K_M."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy
from numpy.typing import NDArray

from mtchat.inference.cpu import weights as cpu_weights
from mtchat.inference.cpu.repack import Q6_SIGNED
from mtchat.inference.cpu.weights import CpuShape
from mtchat.inference.loaders import gguf_architectures
from mtchat.models.sizes import matrix_kind
from tests.support.cpu_models import in_eight_bits
from tests.support.engine_models import write_vocabulary

WIDTHS = {"Q4_K": 144, "Q6_K": 210}  # bytes of a block of 256 weights
SPREAD = 0.05
TENSORS = gguf_architectures.ATTENTION | gguf_architectures.FEED_FORWARD | gguf_architectures.QUERY_KEY_VALUE


def plainly(weights: dict[str, Any], config: Any, ids: list[int], theta: float = 10000.0) -> Any:
    """Qwen2 restated in numpy, in float64: matrices see activations in 8 bits, attention sees halves."""
    count, heads, groups = len(ids), config.num_attention_heads, config.num_key_value_heads
    head = config.hidden_size // heads
    angles = numpy.arange(count)[:, None] * theta ** -(numpy.arange(0, head, 2) / head)
    cosine, sine = (numpy.tile(function(angles), 2)[:, None] for function in (numpy.cos, numpy.sin))

    def norm(rows: Any, name: str) -> Any:
        size = numpy.sqrt((rows**2).mean(1, keepdims=True) + config.rms_norm_eps)
        return in_eight_bits(rows / size * weights[name])

    def turned(rows: Any) -> Any:
        rows = rows.reshape(count, -1, head)
        other = numpy.concatenate([-rows[..., head // 2 :], rows[..., : head // 2]], axis=-1)
        return rows * cosine + other * sine

    def halves(rows: Any) -> Any:
        return rows.astype(numpy.float16).astype(float).repeat(heads // groups, axis=1)

    rows = weights["model.embed_tokens.weight"][ids]
    for layer in range(config.num_hidden_layers):
        part = {
            name.split(f"layers.{layer}.")[1]: each for name, each in weights.items() if f".{layer}." in name
        }
        seen = norm(rows, f"model.layers.{layer}.input_layernorm.weight")
        query, key, value = (
            seen @ part[f"self_attn.{name}_proj.weight"].T + part[f"self_attn.{name}_proj.bias"]
            for name in "qkv"
        )
        keys, values = halves(turned(key)), halves(value.reshape(count, -1, head))
        scores = numpy.einsum("ihd,jhd->hij", turned(query), keys) / head**0.5
        scores = numpy.exp(scores - scores.max(-1, keepdims=True)) * numpy.tri(count)
        mixed = numpy.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), values).reshape(
            count, -1
        )
        rows = rows + in_eight_bits(mixed) @ part["self_attn.o_proj.weight"].T
        seen = norm(rows, f"model.layers.{layer}.post_attention_layernorm.weight")
        gate, up = (seen @ part[f"mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        rows = rows + in_eight_bits(gate / (1 + numpy.exp(-gate)) * up) @ part["mlp.down_proj.weight"].T
    return norm(rows, "model.norm.weight") @ weights["lm_head.weight"].T


def random_blocks(name: str, rows: int, columns: int, seed: int) -> NDArray[numpy.uint8]:
    """Random rows of a K type whose values have a standard deviation of about SPREAD."""
    random = numpy.random.default_rng(seed)
    raw = random.integers(0, 256, (rows, columns // 256, WIDTHS[name]), numpy.uint8)
    halves = numpy.float16([SPREAD / 1370]) if name == "Q6_K" else numpy.float16([SPREAD / 200, SPREAD / 27])
    raw[:, :, slice(208, 210) if name == "Q6_K" else slice(0, 4)] = halves.view(numpy.uint8)
    return raw.reshape(rows, -1)


def write_q4_k_m(path: Path, shape: CpuShape, tied: bool = False) -> None:
    """A random Qwen2 in a GGUF file, with the types and the names that an official Q4_K_M file has."""
    out = gguf.GGUFWriter(path, "qwen2")
    out.add_context_length(shape.context)
    out.add_embedding_length(shape.width)
    out.add_block_count(shape.layers)
    out.add_feed_forward_length(shape.feed)
    out.add_head_count(shape.heads)
    out.add_head_count_kv(shape.kv_heads)
    out.add_layer_norm_rms_eps(shape.epsilon)
    out.add_rope_freq_base(shape.theta)
    write_vocabulary(out)
    random = numpy.random.default_rng(shape.layers)
    for number, (part, size) in enumerate(sizes(shape)):
        layer, _, name = part.rpartition(".")
        if len(size) == 1:
            values = random.normal(1.0 if "norm" in name else 0.0, 0.1, size).astype(numpy.float32)
            out.add_tensor(tensor_name(layer, name), values)
            continue
        if tied and part == "output":
            continue
        type_name = "Q6_K" if matrix_kind(part, size[1], shape.layers) == Q6_SIGNED else "Q4_K"
        kind = gguf.GGMLQuantizationType[type_name]
        rows, copies = (size[0] // 2, ("ffn_gate", "ffn_up")) if name == "gate_up" else (size[0], ("",))
        for copy in copies:
            target = f"blk.{layer}.{copy}.weight" if copy else tensor_name(layer, name)
            blocks = random_blocks(type_name, rows, size[1], 2 * number + (copy == "ffn_up"))
            out.add_tensor(target, blocks, raw_dtype=kind)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()


def sizes(shape: CpuShape) -> Iterator[tuple[str, cpu_weights.PartShape]]:
    return cpu_weights.part_sizes(cpu_weights.LLAMA_CLASS, shape, cpu_weights.QWEN2_BIASES)


def tensor_name(layer: str, part: str) -> str:
    if layer:
        return f"blk.{layer}.{TENSORS[part]}"
    names = {
        "norm": gguf_architectures.NORM,
        "output": gguf_architectures.OUTPUT,
        "embedding": gguf_architectures.EMBEDDING,
    }
    return names[part]
