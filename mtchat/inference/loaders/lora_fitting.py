"""Fits LoRA adapters to the matrices of a GGUF model, for the CPU kernels."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.adapters import HEAD, LowRank
from mtchat.inference.decoder import Floats
from mtchat.inference.loaders import gguf_architectures as table
from mtchat.inference.loaders import gguf_weights
from mtchat.inference.loaders.gguf_reader import GgufHeader
from mtchat.inference.loaders.gguf_shape import read_shape
from mtchat.inference.loaders.gguf_weights import TensorRows
from mtchat.inference.loaders.lora_files import BASES, LoraFile, LoraMatrix

NAMES = ("general.name", "general.basename", "general.finetune", "general.size_label")
FITTED = {name for names in kernels.SAME_INPUT for name in names}


@dataclass(frozen=True)
class ScaledAdapter:
    """An adapter and what its user multiplies it by."""

    file: LoraFile
    scale: float = 1.0


@dataclass(frozen=True)
class PlacedRows:
    """A part of the kernels, and the rows of a tensor that it is made from."""

    part: str
    rows: TensorRows


def fit_adapters(header: GgufHeader, adapters: Sequence[ScaledAdapter]) -> dict[str, LowRank]:
    """What is added to each part of the kernels; ModelError that names a matrix that the model lacks."""
    places = find_places(header)
    found: dict[str, LowRank] = {}
    for each in adapters:
        check_architecture(header, each.file)
        for matrix in each.file.matrices:
            for part, added in fit(header, places, each, matrix):
                found[part] = added.beside(found.get(part))
    return found


def find_places(header: GgufHeader) -> dict[str, list[PlacedRows]]:
    """The parts that are made from each tensor; a fused one has several."""
    found: dict[str, list[PlacedRows]] = {}
    for part, rows in gguf_weights.part_rows(read_shape(header), header):
        layer, _, name = part.rpartition(".")
        names = ("gate", "up") if name == "gate_up" else (name,)
        for own, each in zip(names, rows, strict=True):
            if (layer and own in FITTED and len(each.tensor.shape) == 2) or part == HEAD:
                found.setdefault(each.tensor.name, []).append(
                    PlacedRows(f"{layer}.{own}" if layer else HEAD, each)
                )
    return found


def check_architecture(header: GgufHeader, adapter: LoraFile) -> None:
    own = gguf_weights.architecture_name(header)
    if adapter.architecture not in ("", own):
        raise ModelError(
            f"the adapter {adapter.place} is for {adapter.architecture} models, and this one is {own}; give "
            "the model that it was made for"
        )


def fit(
    header: GgufHeader, places: Mapping[str, list[PlacedRows]], adapter: ScaledAdapter, matrix: LoraMatrix
) -> list[tuple[str, LowRank]]:
    """The parts that one matrix of an adapter changes."""
    name = tensor_name(header, matrix.name) if adapter.file.peft else matrix.name
    what = f"cannot apply the adapter {adapter.file.place}: {matrix.name[:120]}"
    tensor = header.tensors.get(name)
    if name == table.EMBEDDING or (name == table.OUTPUT and tensor is None):
        tied = " shares its matrix with the embedding" if name == table.OUTPUT else " is the embedding"
        raise ModelError(f"{what}{tied}; mtchat adapts the other matrices only")
    if tensor is None:
        layers = read_shape(header).layers
        raise ModelError(
            f"{what} is not in this model, which has {layers} layers; give the model it was made for"
        )
    if name not in places:
        raise ModelError(
            f"{what} is none of the matrices that mtchat adapts: experts and norms stay as they are"
        )
    if (matrix.b.shape[0], matrix.a.shape[1]) != tensor.shape:
        changed = f"{matrix.b.shape[0]} by {matrix.a.shape[1]}"
        own = " by ".join(map(str, tensor.shape))
        raise ModelError(f"{what} is {changed} there and {own} in this model; give the model it was made for")
    with numpy.errstate(over="ignore", invalid="ignore"):
        b = matrix.b * numpy.float32(matrix.scale * adapter.scale)
    if not numpy.isfinite(b).all():
        raise ModelError(f"{what} is too large times {matrix.scale * adapter.scale:g}; give a smaller scale")
    return [
        (place.part, LowRank(matrix.a, part_of_rows(b, place.rows, turn=not adapter.file.peft)))
        for place in places[name]
    ]


def part_of_rows(b: Floats, rows: TensorRows, turn: bool) -> Floats:
    """The rows of B for a part (rank, rows), in the kernels' order, which is transformers' own."""
    some = b[rows.first : rows.first + rows.count]
    if turn and rows.head:
        some = some.reshape(-1, rows.head, some.shape[1])[:, rows.order()].reshape(some.shape)
    return numpy.ascontiguousarray(some.T, numpy.float32)


def tensor_name(header: GgufHeader, module: str) -> str:
    """The name in a GGUF file of the weight of a module of transformers; "" if there is none."""
    import gguf

    architecture = gguf_weights.architecture_name(header)
    known = next(each for each, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    found = gguf.get_tensor_name_map(known, read_shape(header).layers).get_name(module)
    return f"{found}.weight" if found else ""


def joined_fingerprint(fingerprint: str, adapters: Sequence[ScaledAdapter]) -> str:
    """The SHA-256 of a model with its adapters and their scales."""
    if not adapters:
        return fingerprint
    lines = [fingerprint, *(f"{each.file.sha256} {each.scale!r}" for each in adapters)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def adapter_notes(adapters: Sequence[ScaledAdapter], names: Sequence[str]) -> list[str]:
    """What a user is told of each adapter: what it is, and whether it was made for another model."""
    return [note for each in adapters for note in (describe(each), base_note(each.file, names)) if note]


def describe(adapter: ScaledAdapter) -> str:
    file = adapter.file
    ranks = "/".join(map(str, file.ranks))
    scale = f", times {adapter.scale:g}" if adapter.scale != 1 else ""
    return (
        f"with the adapter {file.place.name} (LoRA of rank {ranks} on {len(file.matrices)} matrices{scale}; "
        f"SHA-256 {file.sha256[:12]})"
    )


def own_names(header: GgufHeader) -> list[str]:
    """What a GGUF file calls its model, and those that it was made from."""
    facts = header.metadata
    return [str(facts[key]) for key in (*NAMES, *BASES) if key in facts]


def base_note(adapter: LoraFile, names: Sequence[str]) -> str:
    """Says which model an adapter was made for where this one has another name; "" otherwise."""
    made_for = words(Path(adapter.base).name)
    known = {word for name in names for word in words(name)}
    if not made_for or made_for <= known:
        return ""
    return f"the adapter {adapter.place.name} says that it was made for {adapter.base[:120]}"


def words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+|\d+", name.lower()))
