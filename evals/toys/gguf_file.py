"""Writes a trained toy as a GGUF file, with the names and types that llama.cpp's converter gives."""

from pathlib import Path
from typing import Any

import gguf

from evals.toys.architectures import facts_of, tensors_of
from evals.toys.table import Toy
from evals.toys.texts import Vocabulary

NORMAL, CONTROL, UNUSED = 1, 3, 5
# how transformers names them, where the converter knows only the names in the published files
RENAMED = {
    "block_sparse_moe.router.weight": "block_sparse_moe.router.layer.weight",
    "block_sparse_moe.experts.gate_proj.weight": "mlp.experts.gate_proj.weight",
    "block_sparse_moe.experts.up_proj.weight": "mlp.experts.up_proj.weight",
    "block_sparse_moe.experts.down_proj.weight": "mlp.experts.down_proj.weight",
}
FACTORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
EXACT = (
    "ffn_gate_inp",
    "shortconv.conv",
    "ssm_conv1d",
    "ssm_a",
    "ssm_d",
    "ssm_norm",
)  # matrices that stay in float32


def write_toy(path: Path, name: str, toy: Toy, model: Any, vocabulary: Vocabulary) -> None:
    out = gguf.GGUFWriter(path, toy.architecture)
    out.add_name(f"toy {name}")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for key, value in (facts_of(toy.architecture, model.config) | toy.facts).items():
        add_fact(out, f"{toy.architecture}.{key}", value)
    add_vocabulary(out, vocabulary)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor, values in named_tensors(toy.architecture, model):
        kind = tensor_type(toy, tensor, values)
        out.add_tensor(tensor, gguf.quantize(values.contiguous().numpy(), kind), raw_dtype=kind)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()


def named_tensors(architecture: str, model: Any) -> list[tuple[str, Any]]:
    """The tensors by their names in GGUF."""
    architectures = {name: each for each, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(architectures[architecture], model.config.num_hidden_layers)
    found = []
    for source, values in tensors_of(architecture, model):
        for published, here in RENAMED.items():
            source = source.replace(published, here)
        name = source if source in FACTORS else names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ValueError(f"GGUF has no name for {source} of {architecture}")
        found.append((name, values))
    return found


def tensor_type(toy: Toy, name: str, values: Any) -> gguf.GGMLQuantizationType:
    kind = (
        "F32" if is_exact(name, values) else toy.experts if toy.experts and "_exps" in name else toy.matrices
    )
    return gguf.GGMLQuantizationType[kind]


def is_exact(name: str, values: Any) -> bool:
    """Whether a tensor stays in float32."""
    return values.ndim < 2 or name.endswith(".bias") or any(part in name for part in EXACT)


def add_fact(out: gguf.GGUFWriter, key: str, value: Any) -> None:
    add: Any = {bool: out.add_bool, int: out.add_uint32, float: out.add_float32, list: out.add_array}
    add.get(type(value), out.add_string)(key, value)


def add_vocabulary(out: gguf.GGUFWriter, vocabulary: Vocabulary, rows: int = 0) -> None:
    """Write a vocabulary; up to `rows`, unused tokens follow."""
    format = vocabulary.format
    unused = [f"[unused {id}]" for id in range(len(vocabulary.tokens), rows)]
    kinds = [CONTROL if token in format.specials else NORMAL for token in vocabulary.tokens]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(format.pre)
    out.add_token_list([*vocabulary.tokens, *unused])
    out.add_token_types([*kinds, *[UNUSED] * len(unused)])
    out.add_token_merges(list(vocabulary.merges))
    out.add_eos_token_id(vocabulary.id(format.end))
    out.add_pad_token_id(vocabulary.id(format.pad))
    if format.bos:
        out.add_bos_token_id(vocabulary.id(format.bos))
    out.add_add_bos_token(bool(format.bos))
    out.add_chat_template(format.template)
