"""Reads the tables of weight files, GGUF and safetensors, without their weights and without slow readers."""

import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from mtchat.engine import pickles
from mtchat.errors import ModelError

# gguf-py's reader takes 9 s for a vocabulary of 150,000 words: it makes ten arrays of each; this skips them.
MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
ALIGNMENT = "general.alignment"


@dataclass(frozen=True)
class Stored:
    """A tensor of a GGUF file: its shape as torch has it, its ggml type, and where its bytes start."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class Header:
    """The facts of a GGUF file that are numbers or texts, and its tensors by name."""

    facts: dict[str, str | int | float | bool]
    tensors: dict[str, Stored]


def read_gguf(file: Path) -> Header:
    """The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3."""
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return Reader(data).header()
    except (ValueError, struct.error, LookupError, OverflowError) as error:
        raise ModelError(f"{file} is not a GGUF file that can be read ({error}); fetch it again") from error


class Reader:
    """Walks over the header of a GGUF file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def header(self) -> Header:
        if self.data[: len(MAGIC)] != MAGIC:
            raise ValueError("it does not begin with GGUF")
        self.at = len(MAGIC)
        version, tensors, facts = self.take("IQQ")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        found = dict(self.facts(facts))
        infos = [self.tensor() for _ in range(tensors)]
        step = int(found.get(ALIGNMENT, 32))
        start = -(-self.at // step) * step
        stored = [Stored(name, shape, kind, start + offset) for name, shape, kind, offset in infos]
        return Header(found, {each.name: each for each in stored})

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def text(self) -> str:
        (length,) = self.take("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def facts(self, count: int) -> Iterator[tuple[str, str | int | float | bool]]:
        for _ in range(count):
            name = self.text()
            (kind,) = self.take("I")
            if kind == STRING:
                yield name, self.text()
            elif kind == ARRAY:
                self.skip_array()
            else:
                yield name, self.take(SCALARS[kind])[0]

    def skip_array(self) -> None:
        kind, count = self.take("IQ")
        if kind != STRING:
            self.at += count * struct.calcsize(f"<{SCALARS[kind]}")
            return
        unpack, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
        for _ in range(count):
            at += 8 + unpack(data, at)[0]
        self.at = at

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text()
        (dimensions,) = self.take("I")
        shape = self.take(f"{dimensions}Q")
        kind, offset = self.take("IQ")
        return name, shape[::-1], kind, offset


def parameters(file: Path) -> int:
    """How many weights a file holds."""
    if file.suffix == ".gguf":
        return sum(prod(tensor.shape) for tensor in read_gguf(file).tensors.values())
    if file.suffix != ".safetensors":
        return pickles.parameters(file)
    with file.open("rb") as stream:
        entries = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(prod(entry["shape"]) for name, entry in entries.items() if name != "__metadata__")
