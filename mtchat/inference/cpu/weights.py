"""A model as one file that the kernels read where it lies: written once, memory-mapped afterwards."""

import json
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError
from mtchat.inference.cpu.blocks import STRIP, strip_bytes

FORMAT = 1  # a change of the layout is another format, in another folder
TABLE, BYTES = "native.json", "weights.bin"
ALIGNMENT = 64
OVERRUN = 8192  # the kernels fetch ahead of what they read
ROWS = 2048  # laid out at a time
FLOATS = -1  # the kind of a vector
MOST = 1 << 31  # of any size: C counts in 32 bits
Report = Callable[[str, float | None], None]
Rows = NDArray[numpy.uint8]


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; `head` is the width of one attention head, of which `rotary` is rotated."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    rotary: int
    feed: int
    vocabulary: int
    context: int
    epsilon: float
    theta: float

    def check(self) -> None:
        """ValueError where a number is none that a model can have."""
        for name, value in asdict(self).items():
            if name in ("epsilon", "theta"):
                if not (math.isfinite(value) and value >= 0):
                    raise ValueError(f"{name} is {value}")
            elif not (type(value) is int and 0 < value < MOST):
                raise ValueError(f"{name} is {value}")
        if not self.theta or self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads of {self.head} with {self.kv_heads} heads of keys")


@dataclass(frozen=True)
class Part:
    """A matrix or vector in the file: its kind, its shape (rows: whole strips), and where its bytes start."""

    kind: int
    rows: int
    columns: int
    start: int
    size: int


@dataclass(frozen=True)
class Weights:
    """A mapped model; its weights of the types `rounded` are held as the nearest 8-bit values."""

    architecture: str
    shape: Shape
    parts: dict[str, Part]
    data: NDArray[numpy.uint8]
    rounded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """What becomes a part: its kind and shape (rows: whole strips), and its bytes, some rows at a time."""

    kind: int
    rows: int
    columns: int
    pieces: Callable[[], Iterator[Rows]]

    def part(self, start: int) -> Part:
        rows = self.rows // STRIP * strip_bytes(self.kind, self.columns) if self.kind != FLOATS else 0
        return Part(self.kind, self.rows, self.columns, start, rows or 4 * self.columns)


def plan(contents: Mapping[str, Content]) -> tuple[dict[Content, Part], int]:
    """Where each content goes, in the order in which a step reads them, and the bytes of all."""
    placed: dict[Content, Part] = {}
    end = 0
    for content in contents.values():
        if content not in placed:
            placed[content] = content.part(end)
            end += -(-placed[content].size // ALIGNMENT) * ALIGNMENT
    return placed, end + OVERRUN


def write(
    folder: Path,
    architecture: str,
    shape: Shape,
    contents: Mapping[str, Content],
    report: Report,
    rounded: Sequence[str] = (),
) -> None:
    """Lay weights out in a folder; a content under two names is there once."""
    placed, size = plan(contents)
    with (folder / BYTES).open("wb") as stream:
        for content, part in placed.items():
            report("laying the weights out, once", part.start / size)
            stream.seek(part.start)
            for piece in content.pieces():
                stream.write(piece.data)
        report("writing the model to the disk", None)
        stream.truncate(size)
        stream.flush()
        os.fsync(stream.fileno())
    table = {
        "format": FORMAT,
        "architecture": architecture,
        "shape": asdict(shape),
        "rounded": list(rounded),
        "parts": {name: asdict(placed[content]) for name, content in contents.items()},
    }
    (folder / TABLE).write_text(json.dumps(table), "utf-8")


def read(folder: Path) -> Weights:
    """The model that `write` laid out, mapped and not copied; ModelError where it is damaged."""
    try:
        table = json.loads((folder / TABLE).read_text("utf-8"))
        parts = {name: Part(**part) for name, part in table["parts"].items()}
        sizes = {"rotary": table["shape"]["head"], **table["shape"]}  # older tables do not have it
        shape, architecture = Shape(**sizes), str(table["architecture"])
        rounded = tuple(map(str, table.get("rounded", ())))
        with (folder / BYTES).open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"the weights in {folder} are damaged ({error}); delete that folder") from error
    return Weights(architecture, shape, parts, numpy.frombuffer(mapped, numpy.uint8), rounded)
