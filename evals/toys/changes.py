"""Copies of a toy with another key or tensor that changes what is computed: what llama.cpp makes of them."""

import multiprocessing
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gguf

from evals.toys import recording
from tests.support.gguf_copies import copy_gguf

# other values for keys that a file has
OTHER: dict[str, Any] = {
    "rope.freq_base": 3000.0,
    "rope.freq_base_swa": 300.0,
    "rope.dimension_count": 32,
    "rope.scaling.factor": 2.0,
    "rope.scaling.type": "linear",
    "rope.scaling.attn_factor": 1.5,
    "rope.scaling.original_context_length": 16,
    "rope.scaling.yarn_beta_fast": 4.0,
    "rope.scaling.yarn_beta_slow": 0.2,
    "attention.layer_norm_rms_epsilon": 0.3,
    "attention.sliding_window": 6,
    "attention.scale": 0.3,
    "attention.head_count": 1,
    "attention.head_count_kv": 4,
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
    "embedding_scale": 1.5,
    "residual_scale": 0.9,
    "logit_scale": 9.0,
    "expert_used_count": 3,
    "expert_count": 4,
    "expert_feed_forward_length": 32,
}
# keys that a file can have although llama.cpp's converter did not write them
FURTHER: tuple[dict[str, Any], ...] = (
    {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
    {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64},
    {"rope.scaling.factor": 3.0},
    {"rope.scaling.attn_factor": 1.5},
    {"attention.sliding_window": 12},
    {"attention.sliding_window_pattern": 2},
    {"attention.sliding_window_pattern": 3},
    {"attention.scale": 0.3},
    {"attention.causal": False},
    {"attn_logit_softcapping": 2.0},
    {"final_logit_softcapping": 3.0},
    {"logit_scale": 3.0},
    {"embedding_scale": 2.0},
    {"expert_weights_scale": 2.5},
    {"expert_weights_norm": False},
    {"expert_gating_func": 2},
    {"rope.scaling.yarn_log_multiplier": 0.5},
    {"rope.scaling.yarn_ext_factor": 0.3},
    {"rope.scaling.yarn_attn_factor": 1.5},
)
# tensors that a file can have or lack, by how their values are made
BIASED = ("blk.0.attn_q", "blk.0.attn_output", "blk.1.ffn_down")
CHANGED = (
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    "blk.0.attn_q.bias",
    "blk.0.attn_output.bias",
    "blk.1.ffn_down.bias",
    "blk.0.attn_sinks.weight",
    "blk.0.attn_q_norm.weight",
    "blk.1.post_ffw_norm.weight",
    "blk.0.ffn_gate_inp.bias",
    "blk.1.ffn_down_exps.bias",
)
SEEN = (1, 3)  # the places of a toy that are compared


@dataclass(frozen=True)
class Change:
    """Keys without the architecture's prefix, and tensors, with their values; None removes one."""

    facts: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, list[float] | None] = field(default_factory=dict)


def changes(path: Path) -> Iterator[Change]:
    """The changes of a toy: each known key of its own, further keys, and some tensors."""
    reader = gguf.GGUFReader(path)
    architecture = str(reader.fields["general.architecture"].contents())
    own = {name.removeprefix(f"{architecture}.") for name in reader.fields}
    shapes = {tensor.name: tensor.shape.tolist() for tensor in reader.tensors}
    for key in own & OTHER.keys():
        yield Change({key: OTHER[key]})
    for facts in FURTHER:
        if not facts.keys() & own:
            yield Change(facts)
    for name in CHANGED:
        if name in shapes:
            yield Change(tensors={name: None})
            if len(shapes[name]) == 1:
                yield Change(tensors={name: ramp(shapes[name][0])})
    heads = int(reader.fields[f"{architecture}.attention.head_count"].contents())
    sizes = {"rope_freqs.weight": 32, "blk.0.attn_sinks.weight": heads}
    sizes |= {f"{stem}.bias": shapes[f"{stem}.weight"][1] for stem in BIASED if f"{stem}.weight" in shapes}
    for name in sizes.keys() - shapes.keys():
        yield Change(tensors={name: ramp(sizes[name])})


def ramp(count: int | None) -> list[float] | None:
    """So many values from 1 to 4, which no weight had; None for a tensor that is removed."""
    if count is None:
        return None
    return [round(1 + 3 * at / max(count - 1, 1), 4) for at in range(count)]


def record_changes(path: Path, places: list[dict[str, Any]], context: int) -> list[dict[str, Any]]:
    """Each change, and what llama.cpp computes with it after some places; None where it refuses the file."""
    prompts = [places[at]["prompt"] for at in SEEN]
    found = []
    for change in sorted(changes(path), key=str):
        likely = compute_apart(path, change, prompts, context)
        tensors = {name: len(values) if values else None for name, values in change.tensors.items()}
        found.append({"facts": change.facts, "tensors": tensors, "likeliest": likely})
    return found


def compute_apart(path: Path, change: Change, prompts: list[list[int]], context: int) -> Any:
    """In a process of its own, since llama.cpp ends the process over some files."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=compute, args=(theirs, path, change, prompts, context)
    )
    process.start()
    theirs.close()
    try:
        likely = ours.recv()
    except EOFError:
        likely = None
    process.join()
    return likely


def compute(answer: Connection, path: Path, change: Change, prompts: list[list[int]], context: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = changed_copy(path, Path(folder) / path.name, change)
        try:
            server = recording.start_server(copy, context)
            answer.send([recording.likeliest(server, ids) for ids in prompts])
        except (RuntimeError, ValueError):
            answer.send(None)


def changed_copy(source: Path, target: Path, change: Change) -> Path:
    architecture = str(gguf.GGUFReader(source).fields["general.architecture"].contents())
    facts = {f"{architecture}.{key}": value for key, value in change.facts.items()}
    return copy_gguf(source, target, facts, change.tensors)
