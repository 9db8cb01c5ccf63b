"""Writes GGUF files with the true shape of known models and random weights, for measuring speed.

`python -m evals.make_shapes FOLDER [NAME ...]`; the files take 0.4 to 2.6 GB each. Their types are those that
llama.cpp gives the matrices of a Q4_K_M file, or those of the published file for gpt-oss. What the models
write has no meaning. Some have fewer layers than the model, so that the file stays small.
"""

import argparse
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch
import transformers

from evals.toys.architectures import facts_of
from evals.toys.gguf_file import add_fact, add_vocabulary, is_exact, named_tensors
from evals.toys.table import Config, rope
from evals.toys.texts import CHATML, GEMMA, GRANITE, HARMONY, LLAMA3, PHI, ChatFormat, build_vocabulary
from mtchat.inference.cpu.repack import Q4_MINIMA, Q5_SCALED, Q6_SIGNED, Q8_SCALED
from mtchat.models.sizes import matrix_kind

TILE = 4096  # different blocks; a matrix repeats them
Type = gguf.GGMLQuantizationType
TYPES = {Q4_MINIMA: Type.Q4_K, Q6_SIGNED: Type.Q6_K, Q5_SCALED: Type.Q5_0, Q8_SCALED: Type.Q8_0}
PARTS = {"attn_v": "value", "ffn_down": "down", "ffn_down_exps": "down"}
# where a block of a type has its scales as float16, by their factors; half a range below zero is typical
SCALES = {
    Type.Q4_K: ((0, 1.0), (2, 7.5)),
    Type.Q5_K: ((0, 1.0), (2, 15.5)),
    Type.Q6_K: ((208, 1.0),),
} | dict.fromkeys((Type.Q5_0, Type.Q8_0), ((0, 1.0),))


@dataclass(frozen=True)
class ModelShape:
    """The true sizes of a model, its architecture in transformers and in GGUF, and its chat format."""

    kind: str
    architecture: str
    format: ChatFormat
    config: Config
    experts: str = ""  # the type of all experts; all other matrices are Q8_0 then
    left_out: int = 0  # layers of the model that the file does not have


def sizes(
    width: int, feed: int, layers: int, heads: int, kv_heads: int, head: int, words: int, context: int
) -> Config:
    return {
        "hidden_size": width,
        "intermediate_size": feed,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "vocab_size": words,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
    }


LLAMA32 = rope(
    500000.0,
    "llama3",
    factor=32.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=8192,
)
GEMMA_ROPE = {
    "full_attention": {"rope_type": "default", "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
PHI_ROPE = rope(
    10000.0,
    "longrope",
    original_max_position_embeddings=4096,
    partial_rotary_factor=0.75,
    short_factor=[1.0] * 48,
    long_factor=[1.0 + at for at in range(48)],
)
GPT_OSS_ROPE = rope(
    150000.0,
    "yarn",
    factor=32.0,
    beta_fast=32.0,
    beta_slow=1.0,
    truncate=False,
    original_max_position_embeddings=4096,
)
GRANITE4_SCALES: Config = {
    "attention_multiplier": 0.0078125,
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "logits_scaling": 8.0,
    "rms_norm_eps": 1e-5,
}

SHAPES: dict[str, ModelShape] = {
    "llama-3.2-1b": ModelShape(
        "llama",
        "llama",
        LLAMA3,
        sizes(2048, 8192, 16, 32, 8, 64, 128256, 131072) | LLAMA32 | {"rms_norm_eps": 1e-5},
    ),
    "qwen3-0.6b": ModelShape(
        "qwen3", "qwen3", CHATML, sizes(1024, 3072, 28, 16, 8, 128, 151936, 40960) | rope(1e6)
    ),
    "qwen3-1.7b": ModelShape(
        "qwen3", "qwen3", CHATML, sizes(2048, 6144, 28, 16, 8, 128, 151936, 40960) | rope(1e6)
    ),
    "gemma3-1b": ModelShape(
        "gemma3_text",
        "gemma3",
        GEMMA,
        sizes(1152, 6912, 26, 4, 1, 256, 262144, 32768)
        | {"rope_parameters": GEMMA_ROPE, "sliding_window": 512, "query_pre_attn_scalar": 256},
    ),
    "phi-4-mini": ModelShape(
        "phi3",
        "phi3",
        PHI,
        sizes(3072, 8192, 12, 24, 8, 128, 200064, 131072)
        | PHI_ROPE
        | {"rms_norm_eps": 1e-5}
        | {"original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75, "pad_token_id": 0},
        left_out=20,
    ),
    "granite-4.0-1b": ModelShape(
        "granite",
        "granite",
        GRANITE,
        sizes(2048, 4096, 40, 16, 4, 128, 100352, 131072) | rope(1e7) | GRANITE4_SCALES,
    ),
    "qwen3-30b-a3b": ModelShape(
        "qwen3_moe",
        "qwen3moe",
        CHATML,
        sizes(2048, 6144, 5, 32, 4, 128, 151936, 40960)
        | rope(1e6)
        | {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": True}
        | {"tie_word_embeddings": False},
        left_out=43,
    ),
    "gpt-oss-20b": ModelShape(
        "gpt_oss",
        "gpt-oss",
        HARMONY,
        sizes(2880, 2880, 3, 64, 8, 64, 201088, 131072)
        | GPT_OSS_ROPE
        | {"num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128}
        | {"tie_word_embeddings": False},
        experts="MXFP4",
        left_out=21,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evals.make_shapes", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(SHAPES)}; by default all")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or SHAPES:
        path = options.folder / f"{name}.gguf"
        write_shape(path, name, SHAPES[name])
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB", flush=True)


def write_shape(path: Path, name: str, shape: ModelShape) -> None:
    model = empty_model(shape)
    out = gguf.GGUFWriter(path, shape.architecture)
    out.add_name(f"shape of {name}" + (f" without {shape.left_out} layers" if shape.left_out else ""))
    for key, value in facts_of(shape.architecture, model.config).items():
        add_fact(out, f"{shape.architecture}.{key}", value)
    add_vocabulary(out, build_vocabulary(shape.format), rows=model.config.vocab_size)
    random = numpy.random.default_rng(1)
    tensors = [
        (tensor, values, tensor_type(shape, tensor, values, model.config.num_hidden_layers))
        for tensor, values in named_tensors(shape.architecture, model)
    ]
    for tensor, values, kind in tensors:
        size = prod(values.shape) // gguf.GGML_QUANT_SIZES[kind][0] * gguf.GGML_QUANT_SIZES[kind][1]
        out.add_tensor_info(tensor, values.shape, numpy.dtype(numpy.float32), size, raw_dtype=kind)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_ti_data_to_file):
        write()
    tiles: dict[tuple[Type, int], Any] = {}
    for tensor, values, kind in tensors:
        if kind == Type.F32:
            out.write_tensor_data(plain_values(tensor, values, random))
            continue
        columns = values.shape[-1]
        if (kind, columns) not in tiles:
            tiles[kind, columns] = random_blocks(kind, columns, random)
        out.write_tensor_data(repeated(tiles[kind, columns], prod(values.shape), kind, random))
    out.close()


def empty_model(shape: ModelShape) -> Any:
    """A model without memory for its weights."""
    special = {"bos_token_id": None, "eos_token_id": None}
    config = transformers.CONFIG_MAPPING[shape.kind](**special | shape.config)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def tensor_type(shape: ModelShape, name: str, values: Any, layers: int) -> Type:
    """The type of a tensor in a Q4_K_M file."""
    if is_exact(name, values):
        return Type.F32
    if shape.experts:
        return Type[shape.experts] if "_exps" in name else Type.Q8_0
    pieces, columns = name.split("."), values.shape[-1]
    if pieces[0] != "blk":
        tied = shape.config["tie_word_embeddings"]
        return TYPES[
            matrix_kind("output" if tied or pieces[0] == "output" else "0.embedding", columns, layers)
        ]
    if pieces[2] == "attn_qkv":
        return Type.Q5_K
    return TYPES[matrix_kind(f"{pieces[1]}.{PARTS.get(pieces[2], pieces[2])}", columns, layers)]


def plain_values(name: str, values: Any, random: Any) -> Any:
    """Norms near 1, small biases; factors of the rotation are true."""
    if values.device.type != "meta":
        return values.numpy()
    around = 1.0 if "norm" in name else 0.0
    return (around + 0.02 * random.standard_normal(tuple(values.shape))).astype(numpy.float32)


def random_blocks(kind: Type, columns: int, random: Any) -> Any:
    """Some blocks of a type whose values have a spread that keeps activations in bounds."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = random.integers(0, 256, (TILE, size), dtype=numpy.uint8)
    spread = 0.7 / columns**0.5
    if kind == Type.MXFP4:
        blocks[:, 0] = 127 + round(numpy.log2(spread / 3))
        return blocks

    def scaled(factor: float) -> None:
        for at, times in SCALES[kind]:
            blocks[:, at : at + 2] = numpy.frombuffer(numpy.float16(factor * times).tobytes(), numpy.uint8)

    scaled(2.0**-6)
    scaled(2.0**-6 * spread / float(gguf.dequantize(blocks, kind).std()))
    return blocks


def repeated(blocks: Any, count: int, kind: Type, random: Any) -> Any:
    """The blocks of `count` values, each one of the given blocks."""
    wanted = count // gguf.GGML_QUANT_SIZES[kind][0]
    return blocks[random.integers(0, TILE, wanted, dtype=numpy.int32)]


if __name__ == "__main__":
    main()
