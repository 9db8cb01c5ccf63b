"""Reads the header of a GGUF file: its metadata and its tensor table, without the weights.

The parts of a split model are read as one file. Returned tensors are valid: they have a known type and lie
inside their file.
"""

import math
import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import TypeVar

from mtchat.errors import ModelError
from mtchat.inference.loaders import model_files, split_files

# gguf-py's reader takes 9 s for a vocabulary of 150,000 tokens: it makes ten arrays of each; this skips them.
MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
ALIGNMENT = "general.alignment"
ARCHITECTURE = "general.architecture"
DIMENSIONS = 4
LEAST_TENSOR = 8 + 4 + 8 + 4 + 8  # bytes of the smallest tensor entry
# the sizes of a model, which must be positive and below MAX_SIZE
SIZES = (
    *("context_length", "embedding_length", "feed_forward_length", "attention.head_count"),
    *("attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count"),
    *("block_count", "vocab_size"),
)
# these may be 0 unless there are such tensors: recurrent models have none
NEEDED_BY = {
    "attention.head_count": ".attn_q",
    "attention.head_count_kv": ".attn_q",
    "feed_forward_length": ".ffn_",
}
MAX_SIZE = 1 << 31
MAX_PARTS = 9999
MAX_NAME = 200  # characters

MetadataValue = str | int | float | bool
V = TypeVar("V")


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of a GGUF model: its shape as in torch, its ggml type, and the file and place of its bytes."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    size: int
    file: Path


@dataclass(frozen=True)
class GgufHeader:
    """The metadata of a GGUF file (numbers and strings), its tensors, and the lengths of its arrays."""

    metadata: dict[str, MetadataValue]
    tensors: dict[str, GgufTensor]
    array_lengths: dict[str, int] = field(default_factory=dict)


def read_gguf(file: Path) -> GgufHeader:
    """Read a header; ModelError if the file is damaged, or is not a model that can run by itself.

    Any part of a split model gives the header of the whole: the metadata of the first part, all tensors.
    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
    """
    header = read_file(file)
    try:
        header = read_parts(file, header)
        check_sizes(header)
    except ValueError as error:
        raise unreadable(file, error) from error
    if reason := model_files.unsupported_reason(header.metadata) or (
        "" if header.tensors else model_files.KINDS["vocab"]
    ):
        raise ModelError(f"{file} {reason}")
    return header


def read_file(file: Path) -> GgufHeader:
    """The header of one file, whose tensors all lie inside it."""
    model_files.refuse_unsupported(file, MAGIC)
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = GgufReader(data, file).header()
    except (ValueError, struct.error, LookupError, OverflowError) as error:
        raise unreadable(file, error) from error
    size = file.stat().st_size
    if any(tensor.start + tensor.size > size for tensor in header.tensors.values()):
        raise ModelError(f"{file} is truncated: its weights are incomplete; download it again")
    return header


def read_parts(file: Path, header: GgufHeader) -> GgufHeader:
    """The header of the whole model that a file with this header is a part of; ValueError if they differ."""
    count = header.metadata.get(split_files.COUNT, 1)
    if type(count) is not int or not 0 <= count <= MAX_PARTS:
        raise ValueError(f"{split_files.COUNT} is {str(count)[:80]}")
    if count < 2:
        return header
    parts = [header if each == file else read_file(each) for each in split_files.find_parts(file, count)]
    for number, part in enumerate(parts):
        place = (part.metadata.get(split_files.NUMBER), part.metadata.get(split_files.COUNT))
        if place != (number, count):
            raise ValueError(f"part {number + 1} says that it is number {place[0]} (from 0) of {place[1]}")
    tensors = dict_of_unique([(name, each) for part in parts for name, each in part.tensors.items()])
    stated = parts[0].metadata.get(split_files.TENSORS, len(tensors))
    if stated != len(tensors):
        raise ValueError(f"its parts have {len(tensors)} of {stated} tensors")
    return replace(parts[0], tensors=tensors)


def unreadable(file: Path, error: Exception) -> ModelError:
    return ModelError(f"{file} is not a readable GGUF file ({error}); download it again")


class GgufReader:
    """Parses the header of a GGUF file; ValueError, struct.error or the like if it is damaged."""

    def __init__(self, data: mmap.mmap, file: Path = Path()) -> None:
        self.data = data
        self.file = file
        self.at = 0
        self.array_lengths: dict[str, int] = {}

    def header(self) -> GgufHeader:
        if self.data[: len(MAGIC)] != MAGIC:
            raise ValueError("it does not start with GGUF")
        self.at = len(MAGIC)
        version, tensors, entries = self.take("IQQ")
        if version not in VERSIONS:
            raise ValueError(f"version {version}")
        if tensors > len(self.data) // LEAST_TENSOR:
            raise ValueError(f"{tensors} tensors in {len(self.data)} bytes")
        found = dict_of_unique(list(self.metadata(entries)))
        infos = [self.tensor() for _ in range(tensors)]
        step = found.get(ALIGNMENT, 32)
        if type(step) is not int or step < 1 or step & (step - 1):
            raise ValueError(f"{ALIGNMENT} {step}")
        start = -(-self.at // step) * step
        stored = [
            GgufTensor(name, shape, kind, start + offset, tensor_bytes(name, shape, kind), self.file)
            for name, shape, kind, offset in infos
        ]
        return GgufHeader(found, dict_of_unique([(each.name, each) for each in stored]), self.array_lengths)

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def text(self) -> str:
        (length,) = self.take("Q")
        if length > len(self.data) - self.at:
            raise ValueError("it ends inside a string")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def metadata(self, count: int) -> Iterator[tuple[str, MetadataValue]]:
        for _ in range(count):
            name = self.text()
            (kind,) = self.take("I")
            if kind == STRING:
                yield name, self.text()
            elif kind == ARRAY:
                self.array_lengths[name] = self.skip_array()
            else:
                yield name, self.take(SCALARS[kind])[0]

    def skip_array(self) -> int:
        """The number of elements."""
        kind, count = self.take("IQ")
        if kind != STRING:
            self.at += count * struct.calcsize(f"<{SCALARS[kind]}")
            return count
        unpack, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
        for _ in range(count):
            at += 8 + unpack(data, at)[0]
        self.at = at
        return count

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text()
        (dimensions,) = self.take("I")
        if not 1 <= dimensions <= DIMENSIONS:
            raise ValueError(f"{name[:80]!r} has {dimensions} dimensions")
        shape = self.take(f"{dimensions}Q")
        kind, offset = self.take("IQ")
        return name, shape[::-1], kind, offset


def dict_of_unique(pairs: list[tuple[str, V]]) -> dict[str, V]:
    """ValueError for duplicate names: two programs could read one file differently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{name[:80]!r} appears twice")
    return found


def tensor_bytes(name: str, shape: tuple[int, ...], kind: int) -> int:
    """The bytes of a tensor in the file; ValueError if its type or shape is impossible."""
    known = tensor_types()
    if kind not in known:
        raise ValueError(f"{name[:80]} has the unknown type {kind}")
    word, items, width = known[kind]
    if not prod(shape) or shape[-1] % items:
        raise ValueError(f"{name[:80]} has the shape {shape}, which {word} cannot have")
    return prod(shape) // items * width


@cache
def tensor_types() -> dict[int, tuple[str, int, int]]:
    """The tensor types by number: name, values per block, bytes per block."""
    from gguf import GGML_QUANT_SIZES

    return {int(each): (each.name, *sizes) for each, sizes in GGML_QUANT_SIZES.items()}


def check_sizes(header: GgufHeader) -> None:
    """ValueError if a size is impossible."""
    name = str(header.metadata.get(ARCHITECTURE))
    for each in (name, *header.metadata, *header.array_lengths, *header.tensors):
        if not each.isprintable() or len(each) > MAX_NAME:
            raise ValueError(f"an invalid name: {each[:40]!a}")
    for key, value in header.metadata.items():
        if isinstance(value, float) and not math.isfinite(value) and key.startswith(f"{name}."):
            raise ValueError(f"{key} is {value}")
    for size in SIZES:
        value = header.metadata.get(f"{name}.{size}", 1)
        least = 1 if any(NEEDED_BY.get(size, "") in each for each in header.tensors) else 0
        if type(value) is not int or not least <= value < MAX_SIZE:
            raise ValueError(f"{name}.{size} is {str(value)[:80]}")
    layers = header.metadata.get(f"{name}.block_count", 0)
    if header.tensors and int(layers) > len(header.tensors):
        raise ValueError(f"{name}.block_count is {layers}, with {len(header.tensors)} tensors")
