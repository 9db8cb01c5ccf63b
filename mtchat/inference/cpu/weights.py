"""The weight file of the CPU kernels: written once, memory-mapped afterwards, and checked before use.

C reads and writes by the sizes in it: every part must have the shape that they imply, and lie in the file.
"""

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
from mtchat.inference.cpu.repack import BITS_OF_KIND, BLOCK, STRIP, group_columns, strip_bytes

FORMAT = 1  # increased with every change of the layout; part of the folder's name
TABLE, BYTES = "native.json", "weights.bin"
ALIGNMENT = 64
OVERRUN = 8192  # bytes after the end that the kernels may prefetch
CHUNK_ROWS = 2048  # rows that are repacked at a time
FLOATS = -1  # the kind of a vector
MAX_SIZE = 1 << 31  # C counts in 32 bits
ByteRows = NDArray[numpy.uint8]


@dataclass(frozen=True)
class CpuShape:
    """The sizes of a model; `head` is the width of an attention head, whose first `rotary` columns rotate."""

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
        """ValueError if a size is impossible."""
        for name, value in asdict(self).items():
            if name in ("epsilon", "theta"):
                if not (math.isfinite(value) and value >= 0):
                    raise ValueError(f"{name} is {value}")
            elif not (type(value) is int and 0 < value < MAX_SIZE):
                raise ValueError(f"{name} is {value}")
        if not self.theta or self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads of {self.head} with {self.kv_heads} KV heads")


@dataclass(frozen=True)
class PackedPart:
    """A matrix or vector in the file: its kind, its shape (rows in whole strips), and where its bytes are."""

    kind: int
    rows: int
    columns: int
    start: int
    size: int


@dataclass(frozen=True)
class CpuWeights:
    """A mapped model; matrices whose types are in `rounded` were rounded to 8 bits."""

    architecture: str
    shape: CpuShape
    parts: dict[str, PackedPart]
    data: NDArray[numpy.uint8]
    rounded: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartSource:
    """What a part is made from: its kind and shape (rows in whole strips), and its bytes in chunks."""

    kind: int
    rows: int
    columns: int
    pieces: Callable[[], Iterator[ByteRows]]

    def part(self, start: int) -> PackedPart:
        rows = self.rows // STRIP * strip_bytes(self.kind, self.columns) if self.kind != FLOATS else 0
        return PackedPart(self.kind, self.rows, self.columns, start, rows or 4 * self.columns)


def plan_file(contents: Mapping[str, PartSource]) -> tuple[dict[PartSource, PackedPart], int]:
    """The place of each part, in the order in which a step reads them, and the size of the file."""
    placed: dict[PartSource, PackedPart] = {}
    end = 0
    for content in contents.values():
        if content not in placed:
            placed[content] = content.part(end)
            end += -(-placed[content].size // ALIGNMENT) * ALIGNMENT
    return placed, end + OVERRUN


def write_weights(
    folder: Path,
    architecture: str,
    shape: CpuShape,
    contents: Mapping[str, PartSource],
    report: Callable[[str, float | None], None],
    rounded: Sequence[str] = (),
) -> None:
    """Write the weight file and its table into a folder; a source with two names is written once."""
    placed, size = plan_file(contents)
    with (folder / BYTES).open("wb") as stream:
        for content, part in placed.items():
            report("repacking the weights (once)", part.start / size)
            stream.seek(part.start)
            for piece in content.pieces():
                stream.write(piece.data)
        report("writing the model to disk", None)
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


def read_weights(folder: Path) -> CpuWeights:
    """Map the weights that `write_weights` wrote; ModelError if the table is damaged."""
    try:
        table = json.loads((folder / TABLE).read_text("utf-8"))
        parts = {name: PackedPart(**part) for name, part in table["parts"].items()}
        sizes = {"rotary": table["shape"]["head"], **table["shape"]}  # missing in older tables
        shape, architecture = CpuShape(**sizes), str(table["architecture"])
        rounded = tuple(map(str, table.get("rounded", ())))
        with (folder / BYTES).open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"the weights in {folder} are damaged ({error}); delete that folder") from error
    return CpuWeights(architecture, shape, parts, numpy.frombuffer(mapped, numpy.uint8), rounded)


QWEN2, CODEGEN = "qwen2", "codegen"
OPTIONAL = ("query_bias", "key_bias", "value_bias")
REGISTER_LANES = 16  # the most floats in a vector register
MAX_HEAD_WIDTH = 256
MAX_ROW_WIDTH = 1 << 24  # of an activation row: 64 of them are counted in 32 bits
PartShape = tuple[int, ...]


def layer_sizes(architecture: str, shape: CpuShape) -> dict[str, PartShape]:
    """The shape of each part of a layer: (rows, columns) of a matrix, (length,) of a vector."""
    width, feed, queries, keys = (
        shape.width,
        shape.feed,
        shape.heads * shape.head,
        shape.kv_heads * shape.head,
    )
    projections = {"query": (queries, width), "key": (keys, width), "value": (keys, width)}
    if architecture == CODEGEN:
        return {
            **dict.fromkeys(("attention_norm", "attention_shift", "down_bias"), (width,)),
            **projections,
            "up": (feed, width),
            "up_bias": (feed,),
            "down": (width, queries + feed),
        }
    return {
        **dict.fromkeys(("attention_norm", "feed_norm"), (width,)),
        **projections,
        "query_bias": (queries,),
        "key_bias": (keys,),
        "value_bias": (keys,),
        "output": (width, queries),
        "gate_up": (2 * feed, width),
        "down": (width, feed),
    }


def part_sizes(architecture: str, shape: CpuShape) -> Iterator[tuple[str, PartShape]]:
    """The shape of every part."""
    layer = layer_sizes(architecture, shape)
    for number in range(shape.layers):
        yield from ((f"{number}.{name}", size) for name, size in layer.items())
    rows = (shape.vocabulary, shape.width)
    yield from (("norm", (shape.width,)), ("output", rows), ("embedding", rows))
    if architecture == CODEGEN:
        yield from (("shift", (shape.width,)), ("output_bias", (shape.vocabulary,)))


def check_weights(weights: CpuWeights) -> None:
    """ModelError if the kernels would read or write out of bounds."""
    try:
        check_shape(weights.architecture, weights.shape)
        for name, size in part_sizes(weights.architecture, weights.shape):
            part = weights.parts.get(name)
            if part is None and name.rsplit(".", 1)[-1] not in OPTIONAL:
                raise ValueError(f"{name} is missing")
            if part is not None:
                check_part(name, part, size, weights.data.size)
    except ValueError as error:
        raise ModelError(f"this model cannot run: {error}; download it again") from error


def is_intact(folder: Path) -> bool:
    """Whether the repacked model in a folder is complete."""
    try:
        check_weights(read_weights(folder))
    except ModelError:
        return False
    return True


def check_shape(architecture: str, shape: CpuShape) -> None:
    """ValueError if the kernels do not support the sizes of heads, rows or columns."""
    shape.check()
    step = 4 * REGISTER_LANES if architecture == QWEN2 else REGISTER_LANES
    if architecture not in (QWEN2, CODEGEN):
        raise ValueError(f"the architecture {architecture[:40]}")
    if shape.head % step or shape.head > MAX_HEAD_WIDTH:
        raise ValueError(f"heads of width {shape.head}")
    if (
        shape.rotary % 2
        or shape.rotary > shape.head
        or (architecture == QWEN2 and shape.rotary != shape.head)
    ):
        raise ValueError(f"heads of width {shape.head} of which {shape.rotary} columns are rotated")
    if architecture == CODEGEN and (shape.heads % 2 or shape.heads != shape.kv_heads):
        raise ValueError(f"{shape.heads} heads")
    for size in (shape.width, shape.feed, shape.heads * shape.head):
        if size % BLOCK or size > MAX_ROW_WIDTH:
            raise ValueError(f"a row of {size}")


def check_part(name: str, part: PackedPart, size: PartShape, room: int) -> None:
    """ValueError if a part does not have this shape, or is not inside a file of `room` bytes."""
    for value in (part.kind, part.rows, part.columns, part.start, part.size):
        if type(value) is not int:
            raise ValueError(f"{name} has {value!r} instead of a number")
    if len(size) == 1:
        needed = -(-size[0] // STRIP) * STRIP
        fits = part.kind == FLOATS and part.rows == 1 and part.columns >= needed
        taken = 4 * part.columns
    else:
        needed = -(-size[0] // STRIP) * STRIP
        fits = part.kind in BITS_OF_KIND and (part.rows, part.columns) == (needed, size[1])
        fits = fits and part.columns % group_columns(part.kind) == 0
        taken = part.rows // STRIP * strip_bytes(part.kind, part.columns) if fits else 0
    if not fits:
        raise ValueError(f"{name} is {part.rows} by {part.columns} instead of {' by '.join(map(str, size))}")
    if part.size != taken or part.start < 0 or part.start % 4 or part.start + taken > room - OVERRUN:
        raise ValueError(f"{name} is outside the weight file")
