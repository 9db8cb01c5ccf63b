"""Small GGUF files of architectures that transformers computes, with the keys that llama.cpp writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch

from mtchat.inference.hf import fast_import
from mtchat.inference.loaders.gguf_converter import tensor_processor
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader
from tests.support.engine_models import write_vocabulary

Damage = Callable[[dict[str, Any], dict[str, Any]], object]
SIZES: dict[str, Any] = {
    "vocab_size": 315,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 160,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
COMMON = {
    "context_length": 160,
    "embedding_length": 64,
    "block_count": 2,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
ROOT, PLAIN = "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"
# how transformers calls it, what its config is beside the common sizes, and its own keys
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "llama": ("llama", {}, {ROOT: 1e-6, "rope.freq_base": 10000.0, "rope.dimension_count": 16}),
    "qwen3": (
        "qwen3",
        {"head_dim": 128},
        {ROOT: 1e-6, "rope.freq_base": 10000.0, "attention.key_length": 128, "attention.value_length": 128},
    ),
    "phi3": ("phi3", {}, {ROOT: 1e-5, "rope.freq_base": 10000.0, "rope.dimension_count": 16}),
    "starcoder2": ("starcoder2", {}, {PLAIN: 1e-5, "rope.freq_base": 10000.0}),
    "stablelm": ("stablelm", {}, {PLAIN: 1e-5, "rope.dimension_count": 4, "use_parallel_residual": False}),
    "lfm2": (
        "lfm2",
        {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
        {
            ROOT: 1e-5,
            "rope.freq_base": 1000000.0,
            "attention.head_count_kv": [0, 2],
            "shortconv.l_cache": 3,
        },
    ),
}


def write(
    path: Path, kind: str, facts: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None
) -> Any:
    """A file of a random model, with more facts and tensors where they are given; gives the model."""
    transformers = fast_import.import_transformers()
    from transformers.modeling_gguf_pytorch_utils import get_gguf_hf_weights_map

    name, changes, own = KINDS[kind]
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.CONFIG_MAPPING[name](**SIZES | changes)
    ).eval()
    out = gguf.GGUFWriter(path, kind)
    for key, value in (COMMON | own | (facts or {})).items():
        add: Any = {bool: out.add_bool, int: out.add_uint32, float: out.add_float32, list: out.add_array}
        add.get(type(value), out.add_string)(f"{kind}.{key}", value)
    write_vocabulary(out)
    names = get_gguf_hf_weights_map(model, tensor_processor(model, GgufHeader({ARCHITECTURE: kind}, {})))
    state = model.state_dict()
    for source, name in names.items():
        if name in state and name not in model.all_tied_weights_keys:
            array = state[name].float().numpy()
            if kind == "llama" and source.endswith(("attn_q.weight", "attn_k.weight")):
                array = in_pairs(array, 16)
            out.add_tensor(source, numpy.ascontiguousarray(array[:, 0] if array.ndim == 3 else array))
    for source, array in (tensors or {}).items():
        out.add_tensor(source, array.astype(numpy.float32))
    for act in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        act()
    return model


def in_pairs(array: Any, head: int) -> Any:
    """The rows of heads as llama.cpp rotates them: side by side what transformers has half by half."""
    return array.reshape(-1, 2, head // 2, array.shape[1]).swapaxes(1, 2).reshape(array.shape)


def rewritten(good: Path, path: Path, damage: Damage) -> Path:
    """The good file with other facts and tensors, which `damage` changes: {name: value}, {name: array}."""
    reader = gguf.GGUFReader(good)
    facts = {name: each.contents() for name, each in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {each.name: gguf.dequantize(each.data, each.tensor_type) for each in reader.tensors}
    damage(facts, tensors)
    out = gguf.GGUFWriter(path, str(facts.pop("general.architecture", "qwen2")))
    for name, value in facts.items():
        write_fact(out, name, value)
    for name, array in tensors.items():
        kind = gguf.GGMLQuantizationType.Q8_0
        if array.ndim == 2:
            out.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)
        else:
            out.add_tensor(name, array.astype(numpy.float32))
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    return path


# llama.cpp reads these types only
SPLIT = {
    "split.no": gguf.GGUFValueType.UINT16,
    "split.count": gguf.GGUFValueType.UINT16,
    "split.tensors.count": gguf.GGUFValueType.INT32,
}


def write_fact(out: gguf.GGUFWriter, name: str, value: Any) -> None:
    add: dict[type, Callable[[str, Any], None]] = {
        bool: out.add_bool,
        int: out.add_uint32,
        float: out.add_float32,
        str: out.add_string,
        list: out.add_array,
    }
    if name in SPLIT and not isinstance(value, bool):
        out.add_key_value(name, value, SPLIT[name])
    else:
        add[type(value)](name, value)


def split_gguf(
    good: Path,
    stem: Path,
    tensors: int,
    changes: dict[int, Callable[[dict[str, Any]], object]] | None = None,
    repeat: bool = False,
) -> list[Path]:
    """The good file in parts of some tensors each, as llama.cpp writes them; `changes` to metadata by part.

    With `repeat`, the last part has a tensor of the first as well.
    """
    reader = gguf.GGUFReader(good)
    facts = {name: each.contents() for name, each in reader.fields.items() if not name.startswith("GGUF.")}
    groups = [list(reader.tensors[at : at + tensors]) for at in range(0, len(reader.tensors), tensors)]
    if repeat:
        groups[-1].append(reader.tensors[0])
    paths = []
    for number, group in enumerate(groups):
        split = {"split.no": number, "split.count": len(groups), "split.tensors.count": sum(map(len, groups))}
        own = {**(facts if number == 0 else {}), **split}
        (changes or {}).get(number, lambda facts: None)(own)
        paths.append(stem.with_name(f"{stem.name}-{number + 1:05}-of-{len(groups):05}.gguf"))
        out = gguf.GGUFWriter(paths[-1], str(own.pop("general.architecture", "")) or "qwen2")
        if number:
            out.kv_data[0].clear()  # later parts do not name their architecture
        for name, value in own.items():
            write_fact(out, name, value)
        for each in group:
            out.add_tensor(each.name, each.data, raw_dtype=each.tensor_type)
        for write in (
            out.write_header_to_file,
            out.write_kv_data_to_file,
            out.write_tensors_to_file,
            out.close,
        ):
            write()
    return paths


def write_shape(path: Path, name: str, tensors: dict[str, tuple[int, ...]], **facts: int) -> Path:
    """A GGUF file of an architecture that the kernels do not know, with 16-bit tensors of some shapes."""
    out = gguf.GGUFWriter(path, name)
    for key, value in facts.items():
        out.add_uint32(f"{name}.{key}", value)
    for tensor, shape in tensors.items():
        out.add_tensor(tensor, numpy.zeros(shape, numpy.float16))
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    return path
