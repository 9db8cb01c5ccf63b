"""The float tensors of a model's folder, by name; each is read when it is asked for, and not before."""

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
from mtchat.inference.loaders import model_files
from mtchat.inference.loaders.gguf_reader import read_gguf

Floats = NDArray[numpy.float32]
STORED = {"F32": numpy.float32, "F16": numpy.float16, "BF16": numpy.uint16}
LARGEST_TABLE = 100_000_000  # bytes, by the format of safetensors
WIDTHS = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}


@dataclass(frozen=True)
class SafetensorsEntry:
    """A tensor of a safetensors file, whose bytes are from `start` to `end` of the file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read later; its shape is known now."""

    shape: tuple[int, ...]
    read: Callable[[], Floats]


class TensorFiles(Mapping[str, Floats]):
    """TensorFiles by name, as float32."""

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
    """Those of all files: safetensors, or PyTorch's pickles, of which nothing but weights is unpickled."""
    readers: dict[str, LazyTensor] = {}
    for file in files:
        readers |= open_safetensors(file) if file.suffix == ".safetensors" else open_pickle(file)
    return TensorFiles(readers)


def open_safetensors(file: Path) -> dict[str, LazyTensor]:
    """TensorFiles that are not floats are left out."""
    entries = read_safetensors(file)
    raw = numpy.memmap(file, numpy.uint8, "r")
    return {
        name: LazyTensor(each.shape, partial(to_float32, raw, each))
        for name, each in entries.items()
        if each.kind in STORED
    }


def to_float32(raw: NDArray[numpy.uint8], entry: SafetensorsEntry) -> Floats:
    values = raw[entry.start : entry.end].view(STORED[entry.kind]).reshape(entry.shape)
    if entry.kind == "BF16":  # the upper halves of float32
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
    """The weights of a file by name: mapped and not read, but for a file of before torch 1.6.

    What is no number with a point is a mask or a table of old versions, and is left out.
    """
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # about the age of a file, which is its own affair
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise pickle_refusal(file) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        reason = str(error).strip().split("\n")[0] or "it ends too early"
        raise ModelError(f"{file} is not a file of weights that can be read ({reason})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} holds no weights by name; a model's folder has what save_pretrained writes")
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, torch.Tensor) and each.is_floating_point()
    }


def pickle_refusal(place: Path) -> ModelError:
    return ModelError(
        f"refused {place}: it holds more than weights, and reading it could run a program; nothing was run. "
        "Use the model's safetensors, or get it from a source that you trust"
    )


def read_safetensors(file: Path) -> dict[str, SafetensorsEntry]:
    """The format: https://huggingface.co/docs/safetensors."""
    model_files.refuse_unsupported(file)
    whole = file.stat().st_size
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= min(LARGEST_TABLE, whole - 8):
                raise ValueError(f"a table of {size} bytes in a file of {whole}")
            table = json.loads(stream.read(size))
        if not isinstance(table, dict):
            raise ValueError("its table is no object")
        return {
            name: parse_entry(name, each, 8 + size, whole)
            for name, each in table.items()
            if name != "__metadata__"
        }
    except EOFError as error:
        raise ModelError(f"{file} ends before its weights do; fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{file} is not a safetensors file that can be read ({str(error)[:200]}); fetch it again"
        ) from error


def parse_entry(name: str, found: object, start: int, whole: int) -> SafetensorsEntry:
    """An entry of the table of a file of so many bytes, whose tensors begin at `start`.

    ValueError where it is not true, EOFError where the file ends too early.
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
        raise ValueError(f"{name[:80]!r} has {last - first} bytes, and by its shape {size}")
    return SafetensorsEntry(kind, shape, start + first, start + last)


def int_tuple(value: object) -> tuple[int, ...] | None:
    """A list of whole numbers from 0 on; None where it is something else."""
    fits = isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
    return tuple(value) if fits and isinstance(value, list) else None


def count_tensors(file: Path) -> int:
    """How many tensors a file of a folder holds."""
    return len(read_safetensors(file) if file.suffix == ".safetensors" else read_pickle(file))


def count_parameters(file: Path) -> int:
    """How many weights a file holds."""
    if file.suffix == ".gguf":
        return sum(prod(tensor.shape) for tensor in read_gguf(file).tensors.values())
    if file.suffix != ".safetensors":
        return sum(each.numel() for each in read_pickle(file).values())
    return sum(prod(each.shape) for each in read_safetensors(file).values())
