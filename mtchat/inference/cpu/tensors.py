"""The float tensors of a model's folder, by name; each is read when it is asked for, and not before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.inference import pickles
from mtchat.inference.header import Entry, read_safetensors

Floats = NDArray[numpy.float32]
STORED = {"F32": numpy.float32, "F16": numpy.float16, "BF16": numpy.uint16}


@dataclass(frozen=True)
class Reading:
    """A tensor that is read later; its shape is known now."""

    shape: tuple[int, ...]
    read: Callable[[], Floats]


class Tensors(Mapping[str, Floats]):
    """Tensors by name, as float32."""

    def __init__(self, readers: Mapping[str, Reading]) -> None:
        self.readers = readers

    def __getitem__(self, name: str) -> Floats:
        return self.readers[name].read()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.readers[name].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def tensors(files: Sequence[Path]) -> Tensors:
    """Those of all files: safetensors, or PyTorch's pickles, of which nothing but weights is unpickled."""
    readers: dict[str, Reading] = {}
    for file in files:
        readers |= safetensors(file) if file.suffix == ".safetensors" else pickled(file)
    return Tensors(readers)


def safetensors(file: Path) -> dict[str, Reading]:
    """Tensors that are not floats are left out."""
    entries = read_safetensors(file)
    raw = numpy.memmap(file, numpy.uint8, "r")
    return {
        name: Reading(each.shape, partial(floats, raw, each))
        for name, each in entries.items()
        if each.kind in STORED
    }


def floats(raw: NDArray[numpy.uint8], entry: Entry) -> Floats:
    values = raw[entry.start : entry.end].view(STORED[entry.kind]).reshape(entry.shape)
    if entry.kind == "BF16":  # the upper halves of float32
        return (values.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
    return numpy.asarray(values, numpy.float32)


def pickled(file: Path) -> dict[str, Reading]:
    def read(tensor: Any) -> Floats:
        found: Floats = tensor.float().numpy()
        return found

    return {
        name: Reading(tuple(tensor.shape), partial(read, tensor))
        for name, tensor in pickles.state(file).items()
    }
