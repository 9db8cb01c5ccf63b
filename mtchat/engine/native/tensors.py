"""The float tensors of a model's folder, by name; each is read when it is asked for, and not before."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.engine import pickles
from mtchat.errors import ModelError

Floats = NDArray[numpy.float32]
STORED = {"F32": numpy.float32, "F16": numpy.float16, "BF16": numpy.uint16}


class Tensors(Mapping[str, Floats]):
    """Tensors by name, as float32."""

    def __init__(self, readers: Mapping[str, Callable[[], Floats]]) -> None:
        self.readers = readers

    def __getitem__(self, name: str) -> Floats:
        return self.readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def tensors(files: Sequence[Path]) -> Tensors:
    """Those of all files: safetensors, or PyTorch's pickles, of which nothing but weights is unpickled."""
    readers: dict[str, Callable[[], Floats]] = {}
    for file in files:
        readers |= safetensors(file) if file.suffix == ".safetensors" else pickled(file)
    return Tensors(readers)


def safetensors(file: Path) -> dict[str, Callable[[], Floats]]:
    """The format: https://huggingface.co/docs/safetensors; tensors that are not floats are left out."""
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            entries = json.loads(stream.read(size))
        raw = numpy.memmap(file, numpy.uint8, "r", offset=8 + size)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ModelError(f"{file} is not a safetensors file that can be read; fetch it again") from error
    return {
        name: partial(floats, file, raw, entry)
        for name, entry in entries.items()
        if name != "__metadata__" and entry["dtype"] in STORED
    }


def floats(file: Path, raw: NDArray[numpy.uint8], entry: Mapping[str, Any]) -> Floats:
    start, end = entry["data_offsets"]
    if end > raw.size:
        raise ModelError(f"{file} ends before its weights do; fetch it again")
    values = raw[start:end].view(STORED[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper halves of float32
        return (values.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
    return numpy.asarray(values, numpy.float32)


def pickled(file: Path) -> dict[str, Callable[[], Floats]]:
    def read(tensor: Any) -> Floats:
        found: Floats = tensor.float().numpy()
        return found

    return {name: partial(read, tensor) for name, tensor in pickles.state(file).items()}
