"""Reads LoRA adapters: GGUF files and folders of peft. What would be computed otherwise is refused."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from mtchat.errors import ModelError
from mtchat.inference.decoder import Floats
from mtchat.inference.loaders import gguf_reader
from mtchat.inference.loaders.gguf_weights import read_floats
from mtchat.inference.loaders.model_files import is_gguf, read_config
from mtchat.inference.loaders.tensor_files import open_safetensors

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
FILES = (CONFIG, WEIGHTS)
# keys of a GGUF adapter that say what is computed, or only what it is for
ADAPTER_KEYS = {"adapter.type", "adapter.lora.alpha", "adapter.lora.task_name"}
ALPHA = "adapter.lora.alpha"
SUFFIXES = (".lora_a", ".lora_b")
# keys of a peft adapter that are read, or that only say how it was trained
READ = {
    "peft_type",
    "base_model_name_or_path",
    "r",
    "lora_alpha",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
}
TRAINING = {
    *("task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "lora_dropout"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out"),
    *(
        "megatron_core",
        "qalora_group_size",
        "runtime_config",
        "ensure_weight_tying",
        "eva_config",
        "loftq_config",
    ),
}
# values of other keys that change nothing
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
}
PEFT_TENSOR = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])\.(?:default\.)?weight")


@dataclass(frozen=True)
class LoraMatrix:
    """What an adapter adds to one matrix, times `scale`: a is (rank, columns), b is (rows, rank)."""

    name: str
    a: Floats
    b: Floats
    scale: float


@dataclass(frozen=True)
class LoraFile:
    """An adapter: its matrices by the names of a GGUF file's tensors, or of transformers' modules (`peft`).

    `base` names the model that it was made for, and `architecture` its kind where the file says so.
    """

    place: Path
    sha256: str
    peft: bool
    base: str
    architecture: str
    matrices: tuple[LoraMatrix, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(sorted({len(each.a) for each in self.matrices}))


def read_adapter(place: Path) -> LoraFile:
    """The adapter in a GGUF file or a folder; ModelError if it is none, or is more than LoRA."""
    if place.is_dir():
        found = read_folder(place)
    elif is_gguf(place):
        found = read_file(place)
    elif (place.parent / CONFIG).exists():
        raise ModelError(f"{place} is one file of an adapter; give its folder: {place.parent}")
    else:
        raise ModelError(f"{place} is not an adapter; give a LoRA GGUF file or a folder with {CONFIG}")
    if not found.matrices:
        raise ModelError(f"the adapter {place} adds nothing to any matrix; get another copy")
    return found


def read_file(place: Path) -> LoraFile:
    header = gguf_reader.read_file(place)
    facts = header.metadata
    if facts.get("general.type") != "adapter":
        raise ModelError(f"{place} is not a LoRA adapter but a model; give it without a + before it")
    if facts.get("adapter.type") != "lora":
        raise ModelError(f"{place} is an adapter of type {str(facts.get('adapter.type'))[:40]!r}, not a LoRA")
    keys = {key for key in (*facts, *header.array_lengths) if key.startswith("adapter.")} - ADAPTER_KEYS
    if unread := sorted(key for key in keys if facts.get(key, True)):
        raise ModelError(f"cannot apply the adapter {place}: it has {unread[0]}, which mtchat does not know")
    names = sorted({name[: -len(SUFFIXES[0])] for name in header.tensors if name.endswith(SUFFIXES)})
    check_unread(place, set(header.tensors) - {name + suffix for name in names for suffix in SUFFIXES})
    matrices = []
    for name in names:
        halves = [header.tensors.get(name + suffix) for suffix in SUFFIXES]
        a, b = (None if each is None else read_floats(each) for each in halves)
        matrices.append(checked(place, name, a, b, partial(file_scale, facts.get(ALPHA, 0.0))))
    base = next((str(facts[key]) for key in BASES if key in facts), "")
    return LoraFile(
        *(place, hash_file(place), False, base, str(facts.get(gguf_reader.ARCHITECTURE, ""))),
        tuple(matrices),
    )


def file_scale(alpha: object, rank: int) -> float:
    """alpha / r; 1 without an alpha, as in llama.cpp."""
    return read_number(alpha) / rank or 1.0


BASES = ("general.base_model.0.repo_url", "general.base_model.0.name", "general.basename")


def read_folder(place: Path) -> LoraFile:
    config = read_config(place / CONFIG)
    if not config:
        raise ModelError(
            f"{place} has no readable {CONFIG}; give the folder of a peft adapter or a GGUF file"
        )
    check_config(place, config)
    file = place / WEIGHTS
    if not file.exists():
        older = (
            f"; {PICKLE} is not read: save it again with safe_serialization"
            if (place / PICKLE).exists()
            else ""
        )
        raise ModelError(f"the adapter {place} has no {WEIGHTS}{older}")
    tensors = open_safetensors(file)
    pairs: dict[str, dict[str, str]] = {}
    unread = set(tensors)
    for name in tensors:
        if found := PEFT_TENSOR.fullmatch(name):
            pairs.setdefault(found["module"], {})[found["side"]] = name
            unread.discard(name)
    check_unread(place, unread)
    matrices = []
    for module, sides in sorted(pairs.items()):
        a, b = (tensors[sides[side]].read() if side in sides else None for side in "AB")
        matrices.append(checked(place, module, a, b, partial(peft_scale, config, module)))
    base = config.get("base_model_name_or_path")
    digest = hashlib.sha256(hash_file(file).encode() + (place / CONFIG).read_bytes()).hexdigest()
    return LoraFile(place, digest, True, base if isinstance(base, str) else "", "", tuple(matrices))


def check_config(place: Path, config: Mapping[str, Any]) -> None:
    """ModelError that names what a peft adapter does beside LoRA."""
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{place} is an adapter of type {str(config.get('peft_type'))[:40]!r}, not a LoRA")
    for name, value in config.items():
        if name in READ | TRAINING or not value or value in NEUTRAL.get(name, ()):
            continue
        raise ModelError(
            f"cannot apply the adapter {place}: its {name} is {str(value)[:80]}, which mtchat does not "
            "support; merge it into its model with peft, and give that model's folder"
        )
    for name in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(name) or {}, dict):
            raise ModelError(f"{place / CONFIG} has an unreadable {name}; get another copy")


def peft_scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) for a rank-stabilised one; patterns give some modules another alpha."""
    patterns = config.get("alpha_pattern") or {}
    alpha = next(
        (each for key, each in patterns.items() if matches(key, module)), config.get("lora_alpha", 8)
    )
    return read_number(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def read_number(value: object) -> float:
    """A number of a file; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def matches(pattern: str, module: str) -> bool:
    """Whether a pattern of peft means a module: the end of its name."""
    try:
        return re.match(rf"(?:.*\.)?(?:{pattern})$", module) is not None
    except re.error:
        return False


def check_unread(place: Path, names: set[str]) -> None:
    if names:
        raise ModelError(
            f"cannot apply the adapter {place}: it has {min(names)[:120]}, which is not LoRA of a matrix; "
            "merge it into its model with peft, and give that model's folder"
        )


def checked(
    place: Path, name: str, a: Floats | None, b: Floats | None, scale: Callable[[int], float]
) -> LoraMatrix:
    """The two halves of one matrix; ModelError unless they fit together."""
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or not a.shape[0] == b.shape[1] > 0:
        shapes = " and ".join("none" if each is None else str(each.shape) for each in (a, b))
        raise ModelError(f"the adapter {place} is damaged: its halves for {name[:120]} are {shapes}")
    try:
        factor = scale(a.shape[0])
    except (ValueError, OverflowError) as error:
        raise ModelError(
            f"the adapter {place} is damaged: its alpha for {name[:120]} is no number; get another copy"
        ) from error
    if not (math.isfinite(factor) and numpy.isfinite(a).all() and numpy.isfinite(b).all()):
        raise ModelError(f"the adapter {place} is damaged: numbers for {name[:120]} are not finite")
    return LoraMatrix(name, a, b, factor)


def hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
