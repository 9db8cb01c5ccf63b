"""The weights of a GGUF file, as sources for repacking: rows of its tensors in the order of the kernels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError
from mtchat.inference.cpu import weights
from mtchat.inference.cpu.block_readers import KIND_OF_TYPE, READERS
from mtchat.inference.cpu.repack import STRIP, group_columns, repack
from mtchat.inference.cpu.weights import CHUNK_ROWS, FLOATS, ByteRows, CpuShape, PartSource
from mtchat.inference.loaders import gguf_architectures as table
from mtchat.inference.loaders import gguf_shape
from mtchat.inference.loaders.gguf_architectures import ARCHITECTURES
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, GgufTensor
from mtchat.inference.loaders.gguf_shape import UncomputedError, read_shape

WORDS = "tokenizer.ggml.tokens"
TURNED = ("query", "key")  # whose rows the rotation of a head mixes


@dataclass(frozen=True)
class TensorRows:
    """Some rows of a tensor, counted through all experts, or some numbers of a vector, times `scale`.

    With `head`, the rows of each head of that width lie in pairs, of which `rotary` rotate: they are put half
    by half.
    """

    tensor: GgufTensor
    first: int
    count: int
    head: int = 0
    rotary: int = 0
    scale: float = 1.0

    @property
    def columns(self) -> int:
        return self.tensor.shape[-1]

    def order(self) -> NDArray[numpy.int64]:
        """Which row of a head comes first, second and so on."""
        turned = numpy.arange(self.rotary).reshape(-1, 2).T.reshape(-1)
        return numpy.concatenate([turned, numpy.arange(self.rotary, self.head)])


def unsupported_reason(header: GgufHeader) -> str:
    """Why the CPU kernels cannot run a model; "" if they can.

    ModelError if the file contradicts itself: then nothing can run it.
    """
    try:
        shape = read_shape(header)
        shape.check()
        found = dict(part_rows(shape, header))
    except UncomputedError as error:
        return str(error)
    except KeyError as error:
        return f"a file without {error.args[0]}"
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise ModelError(f"the GGUF file has impossible sizes: {error}; download it again") from error
    check_words(shape, header)
    try:
        weights.check_shape(architecture_name(header), shape)
    except ValueError as error:
        return str(error)
    return next(filter(None, map(part_obstacle, found.values())), "")


def part_obstacle(rows: list[TensorRows]) -> str:
    """Why the kernels cannot multiply by a matrix; "" for one that they can, and for vectors."""
    if len({each.tensor.kind for each in rows}) > 1:
        return "gate and up matrices of different types"
    for each in rows:
        odd = each.count % STRIP and each.tensor.name not in (table.EMBEDDING, table.OUTPUT)
        kind = KIND_OF_TYPE.get(type_name(each.tensor))
        if kind is None:
            return f"weights of the type {type_name(each.tensor)}"
        if len(each.tensor.shape) < 2 or is_plain(each.tensor):
            continue
        if each.columns % group_columns(kind) or odd:
            return f"a matrix of {each.count} by {each.columns}"
    return ""


def check_words(shape: CpuShape, header: GgufHeader) -> None:
    words = header.array_lengths.get(WORDS, 0)
    if words > shape.vocabulary:
        raise ModelError(
            f"the GGUF file has {words} tokens but {table.EMBEDDING} has {shape.vocabulary} rows; "
            "download it again"
        )


def architecture_name(header: GgufHeader) -> str:
    return str(header.metadata[ARCHITECTURE])


def part_rows(shape: CpuShape, header: GgufHeader) -> Iterator[tuple[str, list[TensorRows]]]:
    """Each part and the rows that it is made from, in the order in which a step reads them.

    KeyError if a tensor is missing, UncomputedError if one would not be used, ModelError if one has another
    shape than the metadata implies.
    """
    used: set[str] = set()
    sizes = dict(weights.part_sizes(weights.LLAMA_CLASS, shape))
    more = weights.optional_sizes(weights.LLAMA_CLASS, shape)
    for layer in range(shape.layers):
        for part, source in layer_tensors(shape, header, layer).items():
            size = sizes.get(f"{layer}.{part}") or more[part]
            rows = find_rows(shape, header, layer, part, source, size)
            used |= {each.tensor.name for each in rows}
            yield f"{layer}.{part}", rows
    scale = 1 / (gguf_shape.Facts(header).number(table.LOGIT_SCALE, 1) or 1)
    final = table.OUTPUT if table.OUTPUT in header.tensors else table.EMBEDDING
    for part, source in (("norm", table.NORM), ("output", final), ("embedding", table.EMBEDDING)):
        tensor = checked(header, source, sizes[part])
        used.add(source)
        yield part, [TensorRows(tensor, 0, tensor.shape[0], scale=scale if part == "norm" else 1)]
    factors = ARCHITECTURES[architecture_name(header)].factors
    if unused := sorted(set(header.tensors) - used - factors):
        raise UncomputedError(f"the tensor {unused[0]}")


def layer_tensors(shape: CpuShape, header: GgufHeader, layer: int) -> dict[str, str]:
    """The tensors of a layer's parts, in the order in which a step reads them."""
    kind = ARCHITECTURES[architecture_name(header)]
    needed = {**table.ATTENTION, **(table.ROUTED if shape.experts else table.FEED_FORWARD), **kind.needed}
    names = {part: f"blk.{layer}.{name}" for part, name in {**needed, **kind.renamed}.items()}
    allowed = {part: f"blk.{layer}.{name}" for part, name in kind.allowed.items()}
    names |= {part: name for part, name in allowed.items() if name in header.tensors}
    del names["up"]  # beside the gate
    return names


def find_rows(
    shape: CpuShape, header: GgufHeader, layer: int, part: str, source: str, size: weights.PartShape
) -> list[TensorRows]:
    """The rows of one part of a layer; a fused tensor has those of several parts."""
    kind = ARCHITECTURES[architecture_name(header)]
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    places = {"query": 0, "key": queries, "value": queries + keys}
    stem = part.removesuffix("_bias")
    fused = f"blk.{layer}.attn_qkv.{'bias' if part.endswith('_bias') else 'weight'}"
    turned = (shape.head, shape.rotary) if kind.paired and stem in TURNED else (0, 0)
    if stem in places and source not in header.tensors and fused in header.tensors:
        tensor = checked(header, fused, (queries + 2 * keys, *size[1:]))
        return [TensorRows(tensor, places[stem], size[0], *turned)]
    if part == "gate_up":
        half = (size[0] // 2, size[1])
        if kind.fused:
            both = checked(header, f"blk.{layer}.ffn_up.weight", size)
            return [TensorRows(both, 0, half[0]), TensorRows(both, half[0], half[0])]
        names = (source, source.replace("ffn_gate", "ffn_up"))
        return [TensorRows(checked(header, name, half), 0, half[0]) for name in names]
    return [TensorRows(checked(header, source, size), 0, size[0], *turned)]


def checked(header: GgufHeader, source: str, size: weights.PartShape) -> GgufTensor:
    """A tensor by its name; all experts' matrices lie one after the other."""
    tensor = header.tensors[source]
    shape = tensor.shape
    fits = shape == size or (len(shape) == 3 and (shape[0] * shape[1], shape[2]) == size)
    if not fits and not (len(size) == 1 and len(shape) == 2 and prod(shape) == size[0]):
        raise ModelError(
            f"{source} in the GGUF file is {shape}, but its metadata implies {size}; download it again"
        )
    return tensor


def is_plain(tensor: GgufTensor) -> bool:
    """Whether a tensor stays floats: a vector, the experts' biases, or a router."""
    return len(tensor.shape) == 1 or tensor.name.endswith((".bias", table.ROUTED["router"]))


def part_sources(header: GgufHeader) -> Mapping[str, PartSource]:
    """The sources of all parts; tied weights share one source under two names."""
    found: dict[tuple[TensorRows, ...], PartSource] = {}
    named = [(name, tuple(rows)) for name, rows in part_rows(read_shape(header), header)]
    for _, rows in named:
        if rows not in found:
            found[rows] = part_source(list(rows))
    return {name: found[rows] for name, rows in named}


def part_source(rows: list[TensorRows]) -> PartSource:
    one = rows[0]
    if is_plain(one.tensor):
        return PartSource(FLOATS, 1, -(-one.count // STRIP) * STRIP, partial(vector_pieces, one))
    kind = KIND_OF_TYPE[type_name(one.tensor)]
    total = sum(each.count for each in rows)
    return PartSource(kind, -(-total // STRIP) * STRIP, one.columns, partial(matrix_pieces, rows))


def matrix_pieces(rows: list[TensorRows]) -> Iterator[ByteRows]:
    """The bytes of a matrix; gate and up rows alternate, two strips each, as one kernel reads them."""
    if len(rows) == 1:
        yield from packed_chunks(rows[0])
        return
    for gates, ups in zip(*map(packed_chunks, rows), strict=True):
        pairs = [each.reshape(-1, 2, each.shape[-1]) for each in (gates, ups)]
        yield numpy.ascontiguousarray(numpy.concatenate(pairs, axis=1))


def type_name(tensor: GgufTensor) -> str:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(tensor.kind).name


def vector_pieces(rows: TensorRows) -> Iterator[ByteRows]:
    """The floats of a vector, padded with zeros to whole strips."""
    values = read_floats(rows.tensor).reshape(-1)
    found = values[rows.first : rows.first + rows.count] * numpy.float32(rows.scale)
    if rows.head:
        found = found.reshape(-1, rows.head)[:, rows.order()].reshape(-1)
    yield numpy.pad(found, (0, -rows.count % STRIP)).astype(numpy.float32).view(numpy.uint8)


def read_floats(tensor: GgufTensor) -> NDArray[numpy.float32]:
    """The values of a small tensor of any type."""
    from gguf import GGMLQuantizationType

    raw = numpy.fromfile(tensor.file, numpy.uint8, tensor.size, offset=tensor.start)
    return dequantise_rows(raw.reshape(1, -1), GGMLQuantizationType(tensor.kind)).reshape(tensor.shape)


def packed_chunks(rows: TensorRows) -> Iterator[ByteRows]:
    """The packed bytes of some rows, a chunk at a time."""
    read = READERS[type_name(rows.tensor)]
    for some in raw_chunks(rows):
        if some.shape[0] % STRIP:  # pad a vocabulary with zeros to whole strips
            some = numpy.pad(some, ((0, -some.shape[0] % STRIP), (0, 0)))
        yield numpy.ascontiguousarray(repack(read(some)))


def raw_chunks(rows: TensorRows) -> Iterator[ByteRows]:
    """The bytes of some rows as in the file, a chunk of whole heads at a time, in the kernels' order."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    items, width = GGML_QUANT_SIZES[GGMLQuantizationType(rows.tensor.kind)]
    stride = rows.columns // items * width
    raw = numpy.memmap(rows.tensor.file, numpy.uint8, "r")
    step = CHUNK_ROWS // rows.head * rows.head if rows.head else CHUNK_ROWS
    for first in range(0, rows.count, step):
        count = min(step, rows.count - first)
        start = rows.tensor.start + (rows.first + first) * stride
        some = numpy.asarray(raw[start : start + count * stride]).reshape(count, stride)
        if rows.head:
            some = some.reshape(-1, rows.head, stride)[:, rows.order()].reshape(count, stride)
        yield some


def dequantise_rows(rows: ByteRows, kind: Any) -> NDArray[numpy.float32]:
    """The float32 values of quantised rows; NaN shows in the first logits."""
    from gguf import dequantize

    with numpy.errstate(all="ignore"):
        return numpy.asarray(dequantize(rows, kind), numpy.float32)
