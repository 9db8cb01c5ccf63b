"""The weight file of the CPU kernels: written once, memory-mapped afterwards, and checked before use.

C reads and writes by the sizes in it: every part must have the shape that they imply, and lie in the file.
"""

import json
import math
import mmap
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError
from mtchat.inference.cpu.repack import BLOCK, LAYOUTS, STRIP, group_columns, strip_bytes

FORMAT = 1  # increased with every change of the layout; part of the folder's name
TABLE, BYTES = "native.json", "weights.bin"
ALIGNMENT = 64
OVERRUN = 8192  # bytes after the end that the kernels may prefetch
CHUNK_ROWS = 2048  # rows that are repacked at a time
FLOATS = -1  # the kind of a vector
MAX_SIZE = 1 << 31  # C counts in 32 bits
ACTIVATIONS = ("silu", "gelu", "clamped")  # in the order of layer.h
MAX_USED_EXPERTS = 64
ByteRows = NDArray[numpy.uint8]


@dataclass(frozen=True)
class Rotation:
    """The angles of rotary embeddings: a position times `frequencies` (rotary / 2,), in radians.

    Cosines and sines are multiplied by `magnitude`, which YaRN and LongRoPE use.
    """

    frequencies: tuple[float, ...]
    magnitude: float = 1.0


def plain_rotation(columns: int, theta: float) -> Rotation:
    """The angles without scaling, as transformers computes them: in float32."""
    powers = numpy.arange(0, columns, 2, dtype=numpy.float32) / numpy.float32(columns)
    return Rotation(tuple((1.0 / numpy.float32(theta) ** powers).astype(numpy.float32).tolist()))


@dataclass(frozen=True)
class CpuShape:
    """The sizes of a model; `head` is the width of an attention head, whose first `rotary` columns rotate.

    `windows` has how many tokens each layer sees (0: all), and `turns` which of the `rotations` it uses (-1:
    none); where they are empty, layers see all and use the one. Contexts of more than `original` tokens use
    the `longer` rotations (LongRoPE). `feed` is the width of one expert where there are `experts`.
    `attention_scale` 0 stands for 1 / sqrt(head), and a cap of 0 for none.
    """

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
    experts: int = 0
    used_experts: int = 0
    activation: str = "silu"
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    attention_scale: float = 0.0
    attention_cap: float = 0.0
    logit_cap: float = 0.0
    windows: tuple[int, ...] = ()
    rotations: tuple[Rotation, ...] = ()
    turns: tuple[int, ...] = ()
    original: int = 0
    longer: tuple[Rotation, ...] = ()

    def check(self) -> None:
        """ValueError if a size is impossible."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is float and not (
                isinstance(value, float | int) and math.isfinite(value) and value >= 0
            ):
                raise ValueError(f"{each.name} is {value}")
            least = 0 if each.name in ("experts", "used_experts", "original") else 1
            if each.type is int and not (type(value) is int and least <= value < MAX_SIZE):
                raise ValueError(f"{each.name} is {value}")
        if not self.theta or self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads of {self.head} with {self.kv_heads} KV heads")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"the activation {self.activation[:40]}")
        if (
            not (0 < self.used_experts <= min(self.experts, MAX_USED_EXPERTS))
            and self.experts + self.used_experts
        ):
            raise ValueError(f"{self.used_experts} of {self.experts} experts for each token")
        self.check_layers()

    def check_layers(self) -> None:
        """ValueError unless each layer has a window and a rotation that there is."""
        for values in (self.windows, self.turns):
            if values and len(values) != self.layers:
                raise ValueError(f"{len(values)} of {self.layers} layers")
        if any(type(each) is not int or not 0 <= each < MAX_SIZE for each in self.windows):
            raise ValueError("a window that is no size")
        if any(type(each) is not int or not -1 <= each < max(len(self.rotations), 1) for each in self.turns):
            raise ValueError("a layer without its rotation")
        if self.longer and len(self.longer) != len(self.rotations):
            raise ValueError("other rotations for long contexts than for short ones")
        for rotation in (*self.rotations, *self.longer):
            numbers = (*rotation.frequencies, rotation.magnitude)
            finite = all(isinstance(each, float | int) and math.isfinite(each) for each in numbers)
            if len(rotation.frequencies) != self.rotary // 2 or not finite:
                raise ValueError("a rotation that does not fit the heads")

    @property
    def score_factor(self) -> float:
        """What the product of a query and a key is multiplied by."""
        return self.attention_scale or 1 / math.sqrt(self.head)

    def used_rotations(self, context: int) -> tuple[Rotation, ...]:
        """The rotations with a context of so many tokens: all keys of a sequence need the same."""
        if self.longer and context > self.original:
            return self.longer
        return self.rotations or (plain_rotation(self.rotary, self.theta),)


def read_stored_shape(stored: Mapping[str, Any]) -> CpuShape:
    """The shape in a weight file's table; older tables lack what was always the same."""
    known = {"rotary": stored["head"], **stored}
    lists: dict[str, Any] = {name: tuple(known[name]) for name in ("windows", "turns") if name in known}
    turned = {
        name: tuple(Rotation(tuple(each["frequencies"]), each["magnitude"]) for each in known.get(name, ()))
        for name in ("rotations", "longer")
    }
    return CpuShape(**known | lists | turned)


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
    """A mapped model; an older version rounded the matrices of the types in `rounded` to 8 bits."""

    architecture: str
    shape: CpuShape
    parts: dict[str, PackedPart]
    data: NDArray[numpy.uint8]
    rounded: tuple[str, ...] = ()

    @property
    def read_per_token(self) -> int:
        """The bytes that a token reads: all but the embedding, and of all experts those that it uses."""
        used, experts = (self.shape.used_experts, self.shape.experts) if self.shape.experts else (1, 1)
        return sum(
            part.size * used // experts if name.endswith((".gate_up", ".down")) else part.size
            for name, part in self.parts.items()
            if name != "embedding"
        )


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
        "parts": {name: asdict(placed[content]) for name, content in contents.items()},
    }
    (folder / TABLE).write_text(json.dumps(table), "utf-8")


def read_weights(folder: Path) -> CpuWeights:
    """Map the weights that `write_weights` wrote; ModelError if the table is damaged."""
    try:
        table = json.loads((folder / TABLE).read_text("utf-8"))
        parts = {name: PackedPart(**part) for name, part in table["parts"].items()}
        shape, architecture = read_stored_shape(table["shape"]), str(table["architecture"])
        rounded = tuple(map(str, table.get("rounded", ())))
        with (folder / BYTES).open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"the weights in {folder} are damaged ({error}); delete that folder") from error
    return CpuWeights(architecture, shape, parts, numpy.frombuffer(mapped, numpy.uint8), rounded)


LLAMA_CLASS, CODEGEN = "llama", "codegen"  # layers of the gated kind, and CodeGen's
QWEN2_BIASES = ("query_bias", "key_bias", "value_bias")
REGISTER_LANES = 16  # the most floats in a vector register
MAX_HEAD_WIDTH = 256
MAX_ROW_WIDTH = 1 << 24  # of an activation row: 64 of them are counted in 32 bits
PartShape = tuple[int, ...]


def layer_sizes(architecture: str, shape: CpuShape) -> dict[str, PartShape]:
    """The shape of each part that a layer must have: (rows, columns) of a matrix, (length,) of a vector."""
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
    times = shape.experts or 1
    return {
        **dict.fromkeys(("attention_norm", "feed_norm"), (width,)),
        **projections,
        "output": (width, queries),
        **({"router": (shape.experts * width,)} if shape.experts else {}),
        "gate_up": (times * 2 * feed, width),
        "down": (times * width, feed),
    }


def optional_sizes(architecture: str, shape: CpuShape) -> dict[str, PartShape]:
    """The shape of each part that a layer of some architectures has."""
    if architecture == CODEGEN:
        return {}
    width, feed, times = shape.width, shape.feed, shape.experts or 1
    return {
        "query_bias": (shape.heads * shape.head,),
        **dict.fromkeys(("key_bias", "value_bias"), (shape.kv_heads * shape.head,)),
        "output_bias": (width,),
        **dict.fromkeys(("query_norm", "key_norm"), (shape.head,)),
        **dict.fromkeys(("attention_post_norm", "feed_post_norm"), (width,)),
        "sinks": (shape.heads,),
        **({"router_bias": (shape.experts,)} if shape.experts else {}),
        **dict.fromkeys(("gate_bias", "up_bias"), (times * feed,)),
        "down_bias": (times * width,),
    }


def part_sizes(
    architecture: str, shape: CpuShape, more: Collection[str] = ()
) -> Iterator[tuple[str, PartShape]]:
    """The shape of every part that a model must have, and of those that its layers have `more`."""
    optional = optional_sizes(architecture, shape)
    layer = layer_sizes(architecture, shape) | {name: optional[name] for name in more}
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
        needed = dict(part_sizes(weights.architecture, weights.shape))
        if missing := next((name for name in needed if name not in weights.parts), ""):
            raise ValueError(f"{missing} is missing")
        more = optional_sizes(weights.architecture, weights.shape)
        for name, part in weights.parts.items():
            size = needed.get(name) or more.get(name.partition(".")[2])
            if size is None:
                raise ValueError(f"{name[:80]} is unknown")
            check_part(name, part, size, weights.data.size)
        if weights.shape.experts and any(name.endswith(".feed_post_norm") for name in weights.parts):
            raise ValueError("a norm after experts")
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
    other = architecture != CODEGEN
    step = 2 * REGISTER_LANES if other else REGISTER_LANES
    if shape.head % step or shape.head > MAX_HEAD_WIDTH:
        raise ValueError(f"attention heads of width {shape.head}")
    if shape.rotary % 2 or shape.rotary > shape.head:
        raise ValueError(f"attention heads of width {shape.head} of which {shape.rotary} columns are rotated")
    if not other and (shape.heads % 2 or shape.heads != shape.kv_heads):
        raise ValueError(f"{shape.heads} heads")
    if not other and (shape.experts or shape.windows or shape.turns):
        raise ValueError(f"{shape.experts} experts")
    for size in (shape.width, shape.feed, shape.heads * shape.head):
        if size % BLOCK or size > MAX_ROW_WIDTH:
            raise ValueError(f"a row of {size}")
    times = shape.experts or 1
    if times * max(2 * shape.feed, shape.width) * BLOCK >= MAX_SIZE:
        raise ValueError(f"{shape.experts} experts of width {shape.feed}")


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
        fits = part.kind in LAYOUTS and (part.rows, part.columns) == (needed, size[1])
        fits = fits and part.columns % group_columns(part.kind) == 0
        taken = part.rows // STRIP * strip_bytes(part.kind, part.columns) if fits else 0
    if not fits:
        raise ValueError(f"{name} is {part.rows} by {part.columns} instead of {' by '.join(map(str, size))}")
    if part.size != taken or part.start < 0 or part.start % 4 or part.start + taken > room - OVERRUN:
        raise ValueError(f"{name} is outside the weight file")
