"""Small LoRA adapters of GGUF toys: as GGUF files, as folders of peft, and merged in numpy."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy
from numpy.typing import NDArray

from mtchat.inference.loaders.gguf_architectures import ARCHITECTURES
from mtchat.inference.loaders.gguf_reader import GgufHeader
from mtchat.inference.loaders.gguf_shape import read_shape
from mtchat.inference.loaders.gguf_weights import architecture_name

Array = NDArray[numpy.float32]
Halves = Mapping[str, tuple[Array, Array]]  # a (rank, columns) and b (rows, rank) of each tensor of the model
MODULES = {
    **{f"attn_{letter}": f"self_attn.{letter}_proj" for letter in "qkv"},
    **{f"ffn_{name}": f"mlp.{name}_proj" for name in ("gate", "up", "down")},
    **{"attn_output": "self_attn.o_proj", "attn_qkv": "self_attn.qkv_proj"},
}


def random_halves(
    header: GgufHeader, rank: int, seed: int = 0, wanted: Callable[[str], bool] = lambda name: True
) -> Halves:
    """Halves of each matrix of the layers, about as large together as a tenth of a weight."""
    rng = numpy.random.default_rng(seed)
    found = {}
    for name, tensor in header.tensors.items():
        if name.startswith("blk.") and len(tensor.shape) == 2 and wanted(name):
            rows, columns = tensor.shape
            a = rng.normal(0, 1 / numpy.sqrt(columns), (rank, columns)).astype(numpy.float32)
            b = rng.normal(0, 0.3 / numpy.sqrt(rank), (rows, rank)).astype(numpy.float32)
            found[name] = a, b
    return found


def write_gguf(file: Path, architecture: str, halves: Halves, alpha: float, **facts: Any) -> Path:
    out = gguf.GGUFWriter(file, architecture)
    out.add_string("general.type", "adapter")
    out.add_string("adapter.type", "lora")
    out.add_float32("adapter.lora.alpha", alpha)
    for key, value in facts.items():
        out.add_string(key.replace("__", "."), value)
    for name, (a, b) in halves.items():
        out.add_tensor(f"{name}.lora_a", a)
        out.add_tensor(f"{name}.lora_b", b)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    return file


def write_peft(folder: Path, header: GgufHeader, halves: Halves, alpha: float, **config: Any) -> Path:
    """The same adapter as peft saves it: modules of transformers, whose heads lie half by half."""
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    rank = len(next(iter(halves.values()))[0])
    told = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": "all-linear",
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(told | config))
    tensors = {}
    for name, (a, b) in halves.items():
        _, layer, part, _ = name.split(".")
        module = f"base_model.model.model.layers.{layer}.{module_of(header, part)}"
        tensors[f"{module}.lora_A.weight"] = a
        tensors[f"{module}.lora_B.weight"] = numpy.ascontiguousarray(in_halves(header, name, b))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def module_of(header: GgufHeader, part: str) -> str:
    fused = ARCHITECTURES[architecture_name(header)].fused
    return "mlp.gate_up_proj" if fused and part == "ffn_up" else MODULES[part]


def in_halves(header: GgufHeader, name: str, b: Array) -> Array:
    """Rows that llama.cpp has in pairs, half by half."""
    if not ARCHITECTURES[architecture_name(header)].paired or name.split(".")[2] not in ("attn_q", "attn_k"):
        return b
    head = read_shape(header).head
    return b.reshape(-1, head // 2, 2, b.shape[1]).swapaxes(1, 2).reshape(b.shape)


def merge(tensors: dict[str, Any], halves: Halves, scale: float) -> None:
    """Add an adapter to the float64 weights of a plain model."""
    for name, (a, b) in halves.items():
        tensors[name] = tensors[name] + scale * (b.astype(numpy.float64) @ a.astype(numpy.float64))
