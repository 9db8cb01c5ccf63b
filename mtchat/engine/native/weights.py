"""A GGUF model as one file that the kernels read where it lies: written once, memory-mapped afterwards."""

import json
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from mtchat.engine.header import Header, Stored
from mtchat.engine.native.blocks import (
    KINDS,
    Q8_SCALED,
    READ,
    STRIP,
    from_floats,
    group_columns,
    laid_out,
    strip_bytes,
)

FORMAT = 1  # a change of the layout is another format, in another folder
TABLE, BYTES = "native.json", "weights.bin"
ALIGNMENT = 64
OVERRUN = 8192  # the kernels fetch ahead of what they read
ROWS = 2048  # laid out at a time
FLOATS = -1  # the kind of a vector
ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM"}  # by their names in GGUF files and in transformers
LAYER = {
    "query": "attn_q.weight",
    "key": "attn_k.weight",
    "value": "attn_v.weight",
    "output": "attn_output.weight",
    "gate_up": "ffn_gate.weight",
    "down": "ffn_down.weight",
    "attention_norm": "attn_norm.weight",
    "feed_norm": "ffn_norm.weight",
    "query_bias": "attn_q.bias",
    "key_bias": "attn_k.bias",
    "value_bias": "attn_v.bias",
}
GATE, UP = "ffn_gate", "ffn_up"
EMBEDDING, OUTPUT, NORM = "token_embd.weight", "output.weight", "output_norm.weight"
Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; `head` is the width of one attention head, `context` in tokens."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    feed: int
    vocabulary: int
    context: int
    epsilon: float
    theta: float


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
    """A mapped model."""

    architecture: str
    shape: Shape
    parts: dict[str, Part]
    data: NDArray[numpy.uint8]


def shape_of(header: Header) -> Shape:
    """From the facts of a GGUF file; KeyError where one is not there."""
    name = str(header.facts["general.architecture"])

    def fact(key: str) -> float:
        return float(header.facts[f"{name}.{key}"])

    width, heads = int(fact("embedding_length")), int(fact("attention.head_count"))
    return Shape(
        layers=int(fact("block_count")),
        width=width,
        heads=heads,
        kv_heads=int(fact("attention.head_count_kv")),
        head=int(header.facts.get(f"{name}.attention.key_length", width // heads)),
        feed=int(fact("feed_forward_length")),
        vocabulary=header.tensors[EMBEDDING].shape[0],
        context=int(fact("context_length")),
        epsilon=fact("attention.layer_norm_rms_epsilon"),
        theta=fact("rope.freq_base"),
    )


def obstacle(header: Header) -> str:
    """Why the kernels cannot compute a model; "" when they can."""
    name = str(header.facts.get("general.architecture"))
    if name not in ARCHITECTURES:
        return f"the architecture {name}"
    odd = [
        key for key in header.facts if key.startswith((f"{name}.rope.scaling", f"{name}.attention.sliding"))
    ]
    if odd:
        return f"the setting {odd[0]}"
    try:
        shape = shape_of(header)
    except KeyError as error:
        return f"a file without {error.args[0]}"
    if shape.head % 64 or shape.head > 256 or shape.heads % shape.kv_heads:
        return f"attention heads of width {shape.head}"
    missing = [name for name, source in sources(shape, header) if source not in header.tensors]
    if missing:
        return f"a file without {missing[0]}"
    for _, source in sources(shape, header):
        tensor = header.tensors[source]
        if GATE in source and tensor.kind != header.tensors[source.replace(GATE, UP)].kind:
            return "gates and ups of two types"
        if len(tensor.shape) == 2 and (
            tensor.shape[1] % 64 or (tensor.shape[0] % STRIP and "blk." in source)
        ):
            return f"a matrix of {tensor.shape[0]} by {tensor.shape[1]}"
    return ""


def sources(shape: Shape, header: Header) -> Iterator[tuple[str, str]]:
    """Each part's name and its name in the GGUF file, in the order in which a step reads them."""
    for layer in range(shape.layers):
        for part, source in LAYER.items():
            name = f"blk.{layer}.{source}"
            if name in header.tensors or not part.endswith("_bias"):
                yield f"{layer}.{part}", name
    yield "norm", NORM
    yield "output", OUTPUT if OUTPUT in header.tensors else EMBEDDING
    yield "embedding", EMBEDDING


def write(file: Path, header: Header, folder: Path, report: Report) -> None:
    """Lay the weights of a GGUF file out in a folder."""
    shape = shape_of(header)
    plan: dict[str, Part] = {}
    placed: dict[str, Part] = {}
    at = 0
    for name, source in sources(shape, header):
        if source not in placed:
            placed[source] = part_of(header.tensors[source], at, 2 if GATE in source else 1)
            at += -(-placed[source].size // ALIGNMENT) * ALIGNMENT
        plan[name] = placed[source]
    raw = numpy.memmap(file, numpy.uint8, "r")
    with (folder / BYTES).open("wb") as stream:
        for source, part in placed.items():
            report("laying the weights out, once", part.start / at)
            stream.seek(part.start)
            for piece in joined(raw, header, source, part):
                stream.write(piece.data)
        report("writing the model to the disk", None)
        stream.truncate(at + OVERRUN)
        stream.flush()
        os.fsync(stream.fileno())
    table = {
        "format": FORMAT,
        "architecture": str(header.facts["general.architecture"]),
        "shape": asdict(shape),
        "parts": {name: asdict(part) for name, part in plan.items()},
    }
    (folder / TABLE).write_text(json.dumps(table), "utf-8")


def joined(
    raw: NDArray[numpy.uint8], header: Header, source: str, part: Part
) -> Iterator[NDArray[numpy.uint8]]:
    """The bytes of a part; gates and ups take turns, two strips each, as one product reads them."""
    here = pieces(raw, header.tensors[source], part)
    if GATE not in source:
        yield from here
        return
    for gates, ups in zip(here, pieces(raw, header.tensors[source.replace(GATE, UP)], part), strict=True):
        pairs = [each.reshape(-1, 2, each.shape[-1]) for each in (gates, ups)]
        yield numpy.ascontiguousarray(numpy.concatenate(pairs, axis=1))


def part_of(tensor: Stored, start: int, copies: int) -> Part:
    rows, columns = tensor.shape if len(tensor.shape) == 2 else (1, tensor.shape[0])
    if len(tensor.shape) == 1:
        return Part(FLOATS, rows, columns, start, 4 * columns)
    kind = kind_of(tensor)
    rows = copies * -(-rows // STRIP) * STRIP
    return Part(kind, rows, columns, start, rows // STRIP * strip_bytes(kind, columns))


def kind_of(tensor: Stored) -> int:
    """How a matrix is held: exactly as the file has it, or else as the nearest 8-bit values."""
    kind = KINDS.get(type_name(tensor), Q8_SCALED)
    return kind if tensor.shape[1] % group_columns(kind) == 0 else Q8_SCALED


def type_name(tensor: Stored) -> str:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(tensor.kind).name


def pieces(raw: NDArray[numpy.uint8], tensor: Stored, part: Part) -> Iterator[NDArray[numpy.uint8]]:
    """The bytes of a part, some rows at a time."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    type_ = GGMLQuantizationType(tensor.kind)
    items, width = GGML_QUANT_SIZES[type_]
    stride = part.columns // items * width
    rows = tensor.shape[0] if part.kind != FLOATS else 1
    for first in range(0, rows, ROWS):
        count = min(ROWS, rows - first)
        start = tensor.start + first * stride
        some = numpy.asarray(raw[start : start + count * stride]).reshape(count, stride)
        if part.kind == FLOATS:
            yield numpy.ascontiguousarray(dequantize(some, type_).astype(numpy.float32)).view(numpy.uint8)
            continue
        if count % STRIP:  # the rows that a vocabulary lacks to whole strips are zeros
            some = numpy.pad(some, ((0, -count % STRIP), (0, 0)))
        exact = KINDS.get(type_.name) == part.kind
        blocks = READ[type_.name](some) if exact else from_floats(dequantize(some, type_))
        yield numpy.ascontiguousarray(laid_out(blocks))


def read(folder: Path) -> Weights:
    """The model that `write` laid out, mapped and not copied."""
    table = json.loads((folder / TABLE).read_text("utf-8"))
    with (folder / BYTES).open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    parts = {name: Part(**part) for name, part in table["parts"].items()}
    return Weights(
        table["architecture"], Shape(**table["shape"]), parts, numpy.frombuffer(mapped, numpy.uint8)
    )
