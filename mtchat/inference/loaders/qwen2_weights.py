"""The weights of a Qwen2 model in a GGUF file, as sources for repacking."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError
from mtchat.inference.cpu import weights
from mtchat.inference.cpu.repack import (
    KIND_OF_TYPE,
    Q8_SCALED,
    READERS,
    STRIP,
    group_columns,
    quantise_q8,
    repack,
)
from mtchat.inference.cpu.weights import CHUNK_ROWS, FLOATS, ByteRows, CpuShape, PartSource
from mtchat.inference.loaders import gguf_metadata
from mtchat.inference.loaders.gguf_reader import GgufHeader, GgufTensor

NAME = "qwen2"  # the architecture in GGUF files
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
EPSILON = "attention.layer_norm_rms_epsilon"
WORDS = "tokenizer.ggml.tokens"
EMBEDDING, OUTPUT, NORM = "token_embd.weight", "output.weight", "output_norm.weight"


def unsupported_reason(header: GgufHeader) -> str:
    """Why the CPU kernels cannot run a model; "" if they can.

    ModelError if the file contradicts itself: then nothing can run it.
    """
    name = str(header.metadata.get("general.architecture"))
    if name != NAME:
        return f"the architecture {name}"
    try:
        shape = read_shape(header)
        shape.check()
    except KeyError as error:
        return f"a file without {error.args[0]}"
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise ModelError(f"the GGUF file has impossible sizes: {error}; download it again") from error
    gguf_metadata.check_metadata(header, computed_metadata(shape))
    if shape.layers > len(header.tensors):
        return f"a file without the weights of {shape.layers} layers"
    if shape.head % 64 or shape.head > 256:
        return f"attention heads of width {shape.head}"
    needed = [source for _, source in source_names(shape, header)]
    needed += [source.replace(GATE, UP) for source in needed if GATE in source]
    missing = [source for source in needed if source not in header.tensors]
    if missing:
        return f"a file without {missing[0]}"
    gguf_metadata.check_tensors(header, needed, lambda _: False)
    check_tensor_shapes(shape, header)
    for _, source in source_names(shape, header):
        tensor = header.tensors[source]
        if GATE in source and tensor.kind != header.tensors[source.replace(GATE, UP)].kind:
            return "gate and up matrices of different types"
        if len(tensor.shape) == 2 and (
            tensor.shape[1] % 64 or (tensor.shape[0] % STRIP and "blk." in source)
        ):
            return f"a matrix of {tensor.shape[0]} by {tensor.shape[1]}"
    return ""


def computed_metadata(shape: CpuShape) -> dict[str, object]:
    """What the kernels compute, by GGUF keys."""
    return {
        gguf_metadata.HEADS: shape.heads,
        gguf_metadata.KV_HEADS: shape.kv_heads,
        gguf_metadata.KEY: shape.head,
        gguf_metadata.VALUE: shape.head,
        gguf_metadata.ROTATED: shape.rotary,
        gguf_metadata.BASE: shape.theta,
        gguf_metadata.WINDOW: None,
        EPSILON: shape.epsilon,
    }


def check_tensor_shapes(shape: CpuShape, header: GgufHeader) -> None:
    """ModelError if a tensor does not have the shape that the metadata implies."""
    expected = dict(weights.part_sizes(NAME, shape))
    for part, source in source_names(shape, header):
        size = expected[part]
        pair = (source, source.replace(GATE, UP)) if GATE in source else (source,)
        if GATE in source:
            size = (size[0] // 2, *size[1:])
        for each in pair:
            found = header.tensors[each].shape
            if found != size:
                raise ModelError(
                    f"{each} in the GGUF file is {found}, but its metadata implies {size}; download it again"
                )
    words = header.array_lengths.get(WORDS, 0)
    if words > shape.vocabulary:
        raise ModelError(
            f"the GGUF file has {words} tokens but {EMBEDDING} has {shape.vocabulary} rows; download it again"
        )


def read_shape(header: GgufHeader) -> CpuShape:
    """The sizes of a model by its metadata; KeyError if one is missing."""
    name = str(header.metadata["general.architecture"])

    def fact(key: str) -> float:
        found = header.metadata[f"{name}.{key}"]
        if isinstance(found, (str, bool)):
            raise ValueError(f"{name}.{key} is {str(found)[:80]}")
        return float(found)

    width, heads = int(fact("embedding_length")), int(fact("attention.head_count"))
    return CpuShape(
        layers=int(fact("block_count")),
        width=width,
        heads=heads,
        kv_heads=int(fact("attention.head_count_kv")),
        head=(head := int(header.metadata.get(f"{name}.attention.key_length", width // heads))),
        rotary=head,
        feed=int(fact("feed_forward_length")),
        vocabulary=header.tensors[EMBEDDING].shape[0],
        context=int(fact("context_length")),
        epsilon=fact(EPSILON),
        theta=fact("rope.freq_base"),
    )


def source_names(shape: CpuShape, header: GgufHeader) -> Iterator[tuple[str, str]]:
    """Each part's name and its tensor's name, in the order in which a step reads them."""
    for layer in range(shape.layers):
        for part, source in LAYER.items():
            name = f"blk.{layer}.{source}"
            if name in header.tensors or not part.endswith("_bias"):
                yield f"{layer}.{part}", name
    yield "norm", NORM
    yield "output", OUTPUT if OUTPUT in header.tensors else EMBEDDING
    yield "embedding", EMBEDDING


def rounded_types(header: GgufHeader) -> list[str]:
    """The types of the matrices that are not repacked exactly but rounded to 8 bits."""
    used = {source for _, source in source_names(read_shape(header), header)}
    matrices = (header.tensors[name] for name in used if len(header.tensors[name].shape) == 2)
    return sorted(
        {type_name(each) for each in matrices if packed_kind(each) != KIND_OF_TYPE.get(type_name(each))}
    )


def part_sources(header: GgufHeader) -> Mapping[str, PartSource]:
    """The sources of all parts; tied weights share one source under two names."""
    found: dict[str, PartSource] = {}
    named = list(source_names(read_shape(header), header))
    for _, source in named:
        found.setdefault(source, part_source(header, source))
    return {name: found[source] for name, source in named}


def part_source(header: GgufHeader, source: str) -> PartSource:
    tensor = header.tensors[source]
    if len(tensor.shape) == 1:
        return PartSource(FLOATS, 1, tensor.shape[0], partial(row_chunks, tensor, FLOATS))
    kind, copies = packed_kind(tensor), 2 if GATE in source else 1
    rows = copies * -(-tensor.shape[0] // STRIP) * STRIP
    return PartSource(kind, rows, tensor.shape[1], partial(gate_up_chunks, header, source, kind))


def gate_up_chunks(header: GgufHeader, source: str, kind: int) -> Iterator[ByteRows]:
    """The bytes of a matrix; gate and up rows alternate, two strips each, as one kernel reads them."""
    here = row_chunks(header.tensors[source], kind)
    if GATE not in source:
        yield from here
        return
    for gates, ups in zip(here, row_chunks(header.tensors[source.replace(GATE, UP)], kind), strict=True):
        pairs = [each.reshape(-1, 2, each.shape[-1]) for each in (gates, ups)]
        yield numpy.ascontiguousarray(numpy.concatenate(pairs, axis=1))


def packed_kind(tensor: GgufTensor) -> int:
    """The kind of a matrix: that of its type in the file, or else rounded to 8 bits."""
    kind = KIND_OF_TYPE.get(type_name(tensor), Q8_SCALED)
    return kind if tensor.shape[1] % group_columns(kind) == 0 else Q8_SCALED


def type_name(tensor: GgufTensor) -> str:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(tensor.kind).name


def row_chunks(tensor: GgufTensor, kind: int) -> Iterator[ByteRows]:
    """The bytes of a part, a chunk of rows at a time."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    type_ = GGMLQuantizationType(tensor.kind)
    items, width = GGML_QUANT_SIZES[type_]
    stride = tensor.shape[-1] // items * width
    rows = tensor.shape[0] if kind != FLOATS else 1
    raw = numpy.memmap(tensor.file, numpy.uint8, "r")
    for first in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - first)
        start = tensor.start + first * stride
        some = numpy.asarray(raw[start : start + count * stride]).reshape(count, stride)
        if kind == FLOATS:
            yield numpy.ascontiguousarray(dequantise_rows(some, type_)).view(numpy.uint8)
            continue
        if count % STRIP:  # pad a vocabulary with zeros to whole strips
            some = numpy.pad(some, ((0, -count % STRIP), (0, 0)))
        exact = KIND_OF_TYPE.get(type_.name) == kind
        with numpy.errstate(all="ignore"):
            blocks = READERS[type_.name](some) if exact else quantise_q8(dequantise_rows(some, type_))
        yield numpy.ascontiguousarray(repack(blocks))


def dequantise_rows(rows: ByteRows, kind: Any) -> NDArray[numpy.float32]:
    """The float32 values of quantised rows; NaN shows in the first logits."""
    from gguf import dequantize

    with numpy.errstate(all="ignore"):
        return numpy.asarray(dequantize(rows, kind), numpy.float32)
