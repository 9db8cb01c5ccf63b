"""CodeGen models as they were released, tiny and random, and what they compute said again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file

from tests.support.engine_models import codegen_files, random_model

WIDTH, HEADS, LAYERS, ROTARY, CONTEXT, ROWS = 64, 8, 2, 4, 96, 51200
# the entries of codegen-350M-mono's config.json, but for the sizes
CONFIG: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["CodeGenForCausalLM"],
    "attn_pdrop": 0.0,
    "bos_token_id": 1,
    "embd_pdrop": 0.0,
    "eos_token_id": 50256,
    "gradient_checkpointing": False,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "codegen",
    "n_ctx": CONTEXT,
    "n_embd": WIDTH,
    "n_head": HEADS,
    "n_inner": None,
    "n_layer": LAYERS,
    "n_positions": CONTEXT,
    "resid_pdrop": 0.0,
    "rotary_dim": ROTARY,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50, "temperature": 1.0}},
    "tokenizer_class": "GPT2Tokenizer",
    "torch_dtype": "float32",
    "transformers_version": "4.21.0.dev0",
    "use_cache": True,
    "vocab_size": ROWS,
}
REMOTE = {
    "AutoConfig": "configuration_codegen.CodeGenConfig",
    "AutoModelForCausalLM": "modeling_codegen.CodeGenForCausalLM",
}
KINDS = ("safetensors", "shards of safetensors", "bin", "shards of bin", "old bin")


def random_state(seed: int = 5) -> dict[str, torch.Tensor]:
    """Weights by the names of the release, with the masks and tables that old releases stored."""
    sizes = {
        name: CONFIG[name] for name in ("n_embd", "n_head", "n_layer", "rotary_dim", "n_positions", "n_ctx")
    }
    model = random_model("codegen", ROWS, seed=seed, **sizes)
    state = {name: values.detach().clone() for name, values in model.state_dict().items()}
    for layer in range(LAYERS):
        place = f"transformer.h.{layer}.attn"
        state[f"{place}.causal_mask"] = torch.ones(1, 1, CONTEXT, CONTEXT, dtype=torch.bool).tril()
        state[f"{place}.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT, dtype=torch.uint8).tril()
        state[f"{place}.masked_bias"] = torch.tensor(-1e9)
    return state


def write_codegen(
    folder: Path, state: dict[str, torch.Tensor], kind: str = "safetensors", **entries: Any
) -> Path:
    """A folder in hub layout of a CodeGen model, its weights in files of one kind."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | entries))
    for file in codegen_files():
        shutil.copy(file, folder)
    write_weights(folder, state, kind)
    return folder


def write_weights(folder: Path, state: dict[str, torch.Tensor], kind: str) -> None:
    names = sorted(state)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]] if "shards" in kind else [names]
    stem, suffix = ("model", ".safetensors") if "safetensors" in kind else ("pytorch_model", ".bin")
    places = {}
    for at, part in enumerate(shards, start=1):
        middle = f"-{at:05}-of-{len(shards):05}" if len(shards) > 1 else ""
        file = folder / f"{stem}{middle}{suffix}"
        places |= dict.fromkeys(part, file.name)
        values = {name: state[name] for name in part}
        if suffix == ".safetensors":
            save_file(values, file, metadata={"format": "pt"})
        else:
            torch.save(values, file, _use_new_zipfile_serialization=kind != "old bin")
    if len(shards) > 1:
        size = sum(each.numel() * each.element_size() for each in state.values())
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))


def restated(state: dict[str, torch.Tensor], ids: list[int], blocks: int) -> Any:
    """The logits (T, V) by the equations of modeling_codegen.py with so many blocks, in float64, by heads."""
    weights = {name: values.double().numpy() for name, values in state.items()}
    size, each = WIDTH // HEADS, HEADS // blocks
    hidden = weights["transformer.wte.weight"][ids]
    for layer in range(LAYERS):
        of = {
            name.removeprefix(f"transformer.h.{layer}."): values
            for name, values in weights.items()
            if name.startswith(f"transformer.h.{layer}.")
        }
        x = normed(hidden, of["ln_1.weight"], of["ln_1.bias"])
        heads = []
        for block in numpy.split(x @ of["attn.qkv_proj.weight"].T, blocks, axis=1):
            query, value, key = numpy.split(block, 3, axis=1)
            for head in range(each):
                part = slice(head * size, (head + 1) * size)
                heads.append(attended(query[:, part], key[:, part], value[:, part]))
        attention = numpy.concatenate(heads, axis=1) @ of["attn.out_proj.weight"].T
        inner = x @ of["mlp.fc_in.weight"].T + of["mlp.fc_in.bias"]
        gelu = 0.5 * inner * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (inner + 0.044715 * inner**3)))
        hidden = hidden + attention + gelu @ of["mlp.fc_out.weight"].T + of["mlp.fc_out.bias"]
    hidden = normed(hidden, weights["transformer.ln_f.weight"], weights["transformer.ln_f.bias"])
    return hidden @ weights["lm_head.weight"].T + weights["lm_head.bias"]


def normed(x: Any, scale: Any, shift: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / numpy.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * scale + shift


def attended(query: Any, key: Any, value: Any) -> Any:
    """One head: (T, size) each."""
    scores = turned(query) @ turned(key).T / numpy.sqrt(query.shape[1])
    scores[numpy.triu_indices(len(scores), 1)] = -numpy.inf
    weights = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ value


def turned(x: Any) -> Any:
    """Rotary positions on the first dimensions, two neighbours at a time, as complex numbers."""
    angles = numpy.arange(len(x))[:, None] / 10000 ** (numpy.arange(0, ROTARY, 2) / ROTARY)
    pairs = (x[:, 0:ROTARY:2] + 1j * x[:, 1:ROTARY:2]) * numpy.exp(1j * angles)
    both = numpy.stack([pairs.real, pairs.imag], axis=2).reshape(len(x), ROTARY)
    return numpy.concatenate([both, x[:, ROTARY:]], axis=1)
