"""Reads the tables of weight files, GGUF and safetensors, without their weights and without slow readers.

What a table says of a tensor is true when it is returned: it has a known type and lies inside the file.
"""

import json
import math
import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import TypeVar

from mtchat.errors import ModelError
from mtchat.inference import pickles, strange

# gguf-py's reader takes 9 s for a vocabulary of 150,000 words: it makes ten arrays of each; this skips them.
MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
ALIGNMENT = "general.alignment"
ARCHITECTURE = "general.architecture"
DIMENSIONS = 4
LEAST_TENSOR = 8 + 4 + 8 + 4 + 8  # bytes of its entry
# sizes of a model, of which none can be 0, and which no model has as many of
SIZES = (
    *("context_length", "embedding_length", "feed_forward_length", "attention.head_count"),
    *("attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count"),
    *("block_count", "vocab_size"),
)
# what may be 0 unless tensors are named so: recurrent models have none
NEEDED_BY = {
    "attention.head_count": ".attn_q",
    "attention.head_count_kv": ".attn_q",
    "feed_forward_length": ".ffn_",
}
MOST = 1 << 31
LONGEST = 200  # letters of a name
LARGEST_TABLE = 100_000_000  # bytes, by the format of safetensors
WIDTHS = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}

Fact = str | int | float | bool
Value = TypeVar("Value")


@dataclass(frozen=True)
class Stored:
    """A tensor of a GGUF file: its shape as torch has it, its ggml type, where its bytes are and how many."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """A GGUF file's facts that are numbers or texts, its tensors by name, and the lengths of its lists."""

    facts: dict[str, Fact]
    tensors: dict[str, Stored]
    lists: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A tensor of a safetensors file, whose bytes are from `start` to `end` of the file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_gguf(file: Path) -> Header:
    """The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.

    ModelError where it is damaged, or is no model that can be computed by itself.
    """
    strange.refuse(file, MAGIC)
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = Reader(data).header()
            check_sizes(header)
    except (ValueError, struct.error, LookupError, OverflowError) as error:
        raise ModelError(f"{file} is not a GGUF file that can be read ({error}); fetch it again") from error
    size = file.stat().st_size
    if any(tensor.start + tensor.size > size for tensor in header.tensors.values()):
        raise ModelError(f"{file} ends before its weights do; fetch it again")
    if reason := strange.unfit(header.facts) or ("" if header.tensors else strange.KINDS["vocab"]):
        raise ModelError(f"{file} {reason}")
    return header


class Reader:
    """Walks over the header of a GGUF file; ValueError, struct.error and kin where it is damaged."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0
        self.lists: dict[str, int] = {}

    def header(self) -> Header:
        if self.data[: len(MAGIC)] != MAGIC:
            raise ValueError("it does not begin with GGUF")
        self.at = len(MAGIC)
        version, tensors, facts = self.take("IQQ")
        if version not in VERSIONS:
            raise ValueError(f"version {version}")
        if tensors > len(self.data) // LEAST_TENSOR:
            raise ValueError(f"{tensors} tensors in {len(self.data)} bytes")
        found = unique(list(self.facts(facts)))
        infos = [self.tensor() for _ in range(tensors)]
        step = found.get(ALIGNMENT, 32)
        if type(step) is not int or step < 1 or step & (step - 1):
            raise ValueError(f"{ALIGNMENT} {step}")
        start = -(-self.at // step) * step
        stored = [
            Stored(name, shape, kind, start + offset, stored_size(name, shape, kind))
            for name, shape, kind, offset in infos
        ]
        return Header(found, unique([(each.name, each) for each in stored]), self.lists)

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def text(self) -> str:
        (length,) = self.take("Q")
        if length > len(self.data) - self.at:
            raise ValueError("it ends inside a text")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def facts(self, count: int) -> Iterator[tuple[str, Fact]]:
        for _ in range(count):
            name = self.text()
            (kind,) = self.take("I")
            if kind == STRING:
                yield name, self.text()
            elif kind == ARRAY:
                self.lists[name] = self.skip_array()
            else:
                yield name, self.take(SCALARS[kind])[0]

    def skip_array(self) -> int:
        """How many it had."""
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


def unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    """Two readers of one file would not take the same of two values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{name[:80]!r} is there twice")
    return found


def stored_size(name: str, shape: tuple[int, ...], kind: int) -> int:
    """The bytes that a tensor takes in the file; ValueError where its type or shape cannot be."""
    known = types()
    if kind not in known:
        raise ValueError(f"{name[:80]} has the type {kind}, which gguf does not know")
    word, items, width = known[kind]
    if not prod(shape) or shape[-1] % items:
        raise ValueError(f"{name[:80]} has the shape {shape}, which {word} cannot have")
    return prod(shape) // items * width


@cache
def types() -> dict[int, tuple[str, int, int]]:
    """The types of tensors by number: name, how many values a block has, and how many bytes."""
    from gguf import GGML_QUANT_SIZES

    return {int(each): (each.name, *sizes) for each, sizes in GGML_QUANT_SIZES.items()}


def check_sizes(header: Header) -> None:
    """ValueError where a number that tells a size cannot be one."""
    name = str(header.facts.get(ARCHITECTURE))
    for each in (name, *header.facts, *header.lists, *header.tensors):
        if not each.isprintable() or len(each) > LONGEST:
            raise ValueError(f"a name that is none: {each[:40]!a}")
    for key, value in header.facts.items():
        if isinstance(value, float) and not math.isfinite(value) and key.startswith(f"{name}."):
            raise ValueError(f"{key} is {value}")
    for size in SIZES:
        value = header.facts.get(f"{name}.{size}", 1)
        least = 1 if any(NEEDED_BY.get(size, "") in each for each in header.tensors) else 0
        if type(value) is not int or not least <= value < MOST:
            raise ValueError(f"{name}.{size} is {str(value)[:80]}")
    layers = header.facts.get(f"{name}.block_count", 0)
    if header.tensors and int(layers) > len(header.tensors):
        raise ValueError(f"{name}.block_count is {layers}, with {len(header.tensors)} tensors")


def read_safetensors(file: Path) -> dict[str, Entry]:
    """The format: https://huggingface.co/docs/safetensors."""
    strange.refuse(file)
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
            name: entry(name, each, 8 + size, whole) for name, each in table.items() if name != "__metadata__"
        }
    except EOFError as error:
        raise ModelError(f"{file} ends before its weights do; fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{file} is not a safetensors file that can be read ({str(error)[:200]}); fetch it again"
        ) from error


def entry(name: str, found: object, start: int, whole: int) -> Entry:
    """An entry of the table of a file of so many bytes, whose tensors begin at `start`.

    ValueError where it is not true, EOFError where the file ends too early.
    """
    facts = found if isinstance(found, dict) else {}
    kind, shape, places = facts.get("dtype"), numbers(facts.get("shape")), numbers(facts.get("data_offsets"))
    if not isinstance(kind, str) or shape is None or places is None or len(places) != 2:
        raise ValueError(f"the entry of {name[:80]!r} is damaged")
    first, last = places
    if last > whole - start:
        raise EOFError
    size = WIDTHS.get(kind, 0) * prod(shape)
    if first > last or (kind in WIDTHS and last - first != size):
        raise ValueError(f"{name[:80]!r} has {last - first} bytes, and by its shape {size}")
    return Entry(kind, shape, start + first, start + last)


def numbers(value: object) -> tuple[int, ...] | None:
    """A list of whole numbers from 0 on; None where it is something else."""
    fits = isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
    return tuple(value) if fits and isinstance(value, list) else None


def tensors(file: Path) -> int:
    """How many tensors a file of a folder holds."""
    return len(read_safetensors(file) if file.suffix == ".safetensors" else pickles.state(file))


def parameters(file: Path) -> int:
    """How many weights a file holds."""
    if file.suffix == ".gguf":
        return sum(prod(tensor.shape) for tensor in read_gguf(file).tensors.values())
    if file.suffix != ".safetensors":
        return pickles.parameters(file)
    return sum(prod(each.shape) for each in read_safetensors(file).values())
