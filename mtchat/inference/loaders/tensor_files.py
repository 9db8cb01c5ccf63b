"""Reads the weight files of a model folder: safetensors, and PyTorch's pickles without running their code."""

import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError
from mtchat.inference.decoder import Floats
from mtchat.inference.loaders import model_files
from mtchat.inference.loaders.gguf_reader import read_gguf

STORED = {"F32": numpy.float32, "F16": numpy.float16, "BF16": numpy.uint16}
LARGEST_TABLE = 100_000_000  # bytes, the limit of the safetensors format
WIDTHS = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}


@dataclass(frozen=True)
class SafetensorsEntry:
    """A tensor of a safetensors file: type, shape, and the positions of its first byte and after its last."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read on demand; its shape is known at once."""

    shape: tuple[int, ...]
    read: Callable[[], Floats]


class TensorFiles(Mapping[str, Floats]):
    """The float tensors of several files by name, as float32; each is read on access."""

    def __init__(self, readers: Mapping[str, LazyTensor]) -> None:
        self.readers = readers

    def __getitem__(self, name: str) -> Floats:
        return self.readers[name].read()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.readers[name].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def open_tensors(files: Sequence[Path]) -> TensorFiles:
    """The float tensors of safetensors or pickle files."""
    readers: dict[str, LazyTensor] = {}
    for file in files:
        readers |= open_safetensors(file) if file.suffix == ".safetensors" else open_pickle(file)
    return TensorFiles(readers)


def open_safetensors(file: Path) -> dict[str, LazyTensor]:
    """The float tensors of a safetensors file, memory-mapped; others are left out."""
    entries = read_safetensors(file)
    raw = numpy.memmap(file, numpy.uint8, "r")
    return {
        name: LazyTensor(each.shape, partial(to_float32, raw, each))
        for name, each in entries.items()
        if each.kind in STORED
    }


def to_float32(raw: NDArray[numpy.uint8], entry: SafetensorsEntry) -> Floats:
    values = raw[entry.start : entry.end].view(STORED[entry.kind]).reshape(entry.shape)
    if entry.kind == "BF16":  # the upper half of a float32
        return (values.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
    return numpy.asarray(values, numpy.float32)


def open_pickle(file: Path) -> dict[str, LazyTensor]:
    def read(tensor: Any) -> Floats:
        found: Floats = tensor.float().numpy()
        return found

    return {
        name: LazyTensor(tuple(tensor.shape), partial(read, tensor))
        for name, tensor in read_pickle(file).items()
    }


def read_pickle(file: Path) -> dict[str, Any]:
    """The float tensors of a PyTorch file by name, memory-mapped if it is from torch 1.6 or later.

    Other tensors are masks and tables of old versions, and are left out. Nothing but tensors is unpickled.
    """
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # about the age of the file format
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise pickle_refusal(file) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        reason = str(error).strip().split("\n")[0] or "it is truncated"
        raise ModelError(f"{file} is not a readable weight file ({reason}); download it again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} contains no named weights; use a folder that save_pretrained wrote")
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, torch.Tensor) and each.is_floating_point()
    }


def pickle_refusal(place: Path) -> ModelError:
    return ModelError(
        f"refused {place}: it contains more than weights, and reading it could run code; nothing was run. "
        "Use the model's safetensors, or download it from a source that you trust"
    )


def read_safetensors(file: Path) -> dict[str, SafetensorsEntry]:
    """The tensors of a safetensors file by name; ModelError if it is damaged.

    The format: https://huggingface.co/docs/safetensors.
    """
    model_files.refuse_unsupported(file)
    whole = file.stat().st_size
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= min(LARGEST_TABLE, whole - 8):
                raise ValueError(f"a header of {size} bytes in a file of {whole}")
            table = json.loads(stream.read(size))
        if not isinstance(table, dict):
            raise ValueError("its header is not a JSON object")
        return {
            name: parse_entry(name, each, 8 + size, whole)
            for name, each in table.items()
            if name != "__metadata__"
        }
    except EOFError as error:
        raise ModelError(f"{file} is truncated: its weights are incomplete; download it again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{file} is not a readable safetensors file ({str(error)[:200]}); download it again"
        ) from error


def parse_entry(name: str, found: object, start: int, whole: int) -> SafetensorsEntry:
    """One entry of the header of a file of `whole` bytes whose tensors begin at `start`.

    ValueError if it is inconsistent, EOFError if the file is truncated.
    """
    facts = found if isinstance(found, dict) else {}
    kind, shape, places = (
        facts.get("dtype"),
        int_tuple(facts.get("shape")),
        int_tuple(facts.get("data_offsets")),
    )
    if not isinstance(kind, str) or shape is None or places is None or len(places) != 2:
        raise ValueError(f"the entry of {name[:80]!r} is damaged")
    first, last = places
    if last > whole - start:
        raise EOFError
    size = WIDTHS.get(kind, 0) * prod(shape)
    if first > last or (kind in WIDTHS and last - first != size):
        raise ValueError(f"{name[:80]!r} has {last - first} bytes instead of {size}")
    return SafetensorsEntry(kind, shape, start + first, start + last)


def int_tuple(value: object) -> tuple[int, ...] | None:
    """A list of non-negative integers as a tuple; None for anything else."""
    fits = isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
    return tuple(value) if fits and isinstance(value, list) else None


def count_tensors(file: Path) -> int:
    """The number of tensors in a weight file."""
    return len(read_safetensors(file) if file.suffix == ".safetensors" else read_pickle(file))


def count_parameters(file: Path) -> int:
    """The number of parameters in a weight file; of a part of a split model, those that lie in it."""
    if model_files.is_gguf(file):
        return sum(prod(each.shape) for each in read_gguf(file).tensors.values() if each.file == file)
    if file.suffix != ".safetensors":
        return sum(each.numel() for each in read_pickle(file).values())
    return sum(prod(each.shape) for each in read_safetensors(file).values())
