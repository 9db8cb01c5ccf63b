"""The weights of a CodeGen folder, as sources for repacking: 8 bits with a scale for each 32 columns."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy

from mtchat.errors import ModelError
from mtchat.inference.cpu.repack import BLOCK, Q8_SCALED, STRIP, group_columns, quantise_q8, repack
from mtchat.inference.cpu.weights import CHUNK_ROWS, FLOATS, ByteRows, CpuShape, PartSource
from mtchat.inference.decoder import Floats
from mtchat.inference.loaders.tensor_files import TensorFiles

NAME = "codegen"  # in config.json too
# the defaults of transformers
DEFAULTS = {
    "vocab_size": 50400,
    "n_positions": 2048,
    "n_embd": 4096,
    "n_layer": 28,
    "n_head": 16,
    "rotary_dim": 64,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": False,
    "mp_num": 4,  # only the code of models with another number says otherwise
}
OTHER_NAMES = {
    "n_positions": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
}
ACTIVATION = "gelu_new"  # the tanh approximation
THETA = 10000.0
WIDEST = 256
JOINT = ("query", "value", "key")  # the order within each of the mp_num blocks of qkv_proj
EMBEDDING, OUTPUT = "transformer.wte.weight", "lm_head.weight"
ReadTensor = Callable[[], Floats]


def unsupported_reason(config: Mapping[str, object]) -> str:
    """Why the CPU kernels cannot run the model of a config; "" if they can."""
    if config.get("model_type") != NAME:
        return "only GGUF files and CodeGen models are supported"
    try:
        shape, blocks = read_shape(config), block_count(config)
        shape.check()
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return "a config.json whose sizes are not numbers"
    activation = setting(config, "activation_function")
    if activation != ACTIVATION:
        return f"the activation {activation}"
    if shape.head * shape.heads != shape.width:
        return f"{shape.heads} attention heads in a width of {shape.width}"
    if blocks < 1 or shape.heads % 2 or shape.heads % blocks:
        return f"{shape.heads} attention heads in {blocks} blocks"
    if shape.head % 16 or shape.head > WIDEST:
        return f"attention heads of width {shape.head}"
    if shape.rotary % 2 or not 0 < shape.rotary <= shape.head:
        return f"heads of width {shape.head} of which {shape.rotary} columns are rotated"
    columns = group_columns(Q8_SCALED)
    if shape.width % columns or shape.feed % columns:
        return f"a matrix of {shape.feed} by {shape.width}"
    return ""


def setting(config: Mapping[str, object], name: str) -> object:
    other = OTHER_NAMES.get(name, name)
    return config.get(name, config.get(other, DEFAULTS[name]))


def read_shape(config: Mapping[str, object]) -> CpuShape:
    def size(name: str) -> int:
        return int(str(setting(config, name)))

    return CpuShape(
        layers=size("n_layer"),
        width=size("n_embd"),
        heads=size("n_head"),
        kv_heads=size("n_head"),
        head=size("n_embd") // size("n_head"),
        rotary=size("rotary_dim"),
        feed=4 * size("n_embd") if setting(config, "n_inner") is None else size("n_inner"),
        vocabulary=size("vocab_size"),
        context=size("n_positions"),
        epsilon=float(str(setting(config, "layer_norm_epsilon"))),
        theta=THETA,
    )


def block_count(config: Mapping[str, object]) -> int:
    return int(str(setting(config, "mp_num")))


def part_sources(config: Mapping[str, object], tensors: TensorFiles) -> Mapping[str, PartSource]:
    """The sources of all parts, in the order in which a step reads them."""
    shape = read_shape(config)
    found: dict[str, PartSource] = {}
    for number in range(shape.layers):
        layer = layer_sources(shape, block_count(config), tensors, f"transformer.h.{number}")
        found |= {f"{number}.{name}": content for name, content in layer.items()}
    tied = setting(config, "tie_word_embeddings")
    embedding = matrix_source(tensors, EMBEDDING, shape.vocabulary, shape.width)
    return found | {
        "norm": vector_source(tensors, "transformer.ln_f.weight", shape.width),
        "shift": vector_source(tensors, "transformer.ln_f.bias", shape.width),
        "output": embedding if tied else matrix_source(tensors, OUTPUT, shape.vocabulary, shape.width),
        "output_bias": vector_source(tensors, "lm_head.bias", shape.vocabulary),
        "embedding": embedding,
    }


def layer_sources(shape: CpuShape, blocks: int, tensors: TensorFiles, name: str) -> dict[str, PartSource]:
    width, feed = shape.width, shape.feed
    norm = {
        "attention_norm": vector_source(tensors, f"{name}.ln_1.weight", width),
        "attention_shift": vector_source(tensors, f"{name}.ln_1.bias", width),
    }
    joint = tensor_reader(tensors, f"{name}.attn.qkv_proj.weight", (3 * width, width))
    attended = tensor_reader(tensors, f"{name}.attn.out_proj.weight", (width, width))
    fed = tensor_reader(tensors, f"{name}.mlp.fc_out.weight", (width, feed))
    parts = ("query", "key", "value")
    thirds = {part: quantised_source(width, width, partial(qkv_part, joint, blocks, part)) for part in parts}
    return {
        **norm,
        **thirds,
        "up": matrix_source(tensors, f"{name}.mlp.fc_in.weight", feed, width),
        "up_bias": vector_source(tensors, f"{name}.mlp.fc_in.bias", feed),
        "down": quantised_source(width, width + feed, lambda: numpy.concatenate([attended(), fed()], axis=1)),
        "down_bias": vector_source(tensors, f"{name}.mlp.fc_out.bias", width),
    }


def qkv_part(joint: ReadTensor, blocks: int, part: str) -> Floats:
    """The queries, keys or values of all heads: (3 W, W) -> (W, W)."""
    values = joint()
    width = values.shape[1]
    return values.reshape(blocks, len(JOINT), -1, width)[:, JOINT.index(part)].reshape(width, width)


def matrix_source(tensors: TensorFiles, name: str, rows: int, columns: int) -> PartSource:
    return quantised_source(rows, columns, tensor_reader(tensors, name, (rows, columns)))


def quantised_source(rows: int, columns: int, read: ReadTensor) -> PartSource:
    return PartSource(Q8_SCALED, -(-rows // STRIP) * STRIP, columns, partial(row_chunks, read))


def row_chunks(read: ReadTensor) -> Iterator[ByteRows]:
    values = read()
    for first in range(0, len(values), CHUNK_ROWS):
        some = values[first : first + CHUNK_ROWS]
        padded = numpy.pad(some, ((0, -len(some) % STRIP), (0, 0)))
        yield numpy.ascontiguousarray(repack(quantise_q8(padded)))


def vector_source(tensors: TensorFiles, name: str, columns: int) -> PartSource:
    """A vector, padded with zeros as the rows of its matrix are."""
    read, size = tensor_reader(tensors, name, (columns,)), -(-columns // BLOCK) * BLOCK
    return PartSource(
        FLOATS, 1, size, lambda: iter([numpy.pad(read(), (0, size - columns)).view(numpy.uint8)])
    )


def tensor_reader(tensors: TensorFiles, name: str, shape: tuple[int, ...]) -> ReadTensor:
    """A function that reads a tensor; ModelError at once if it is missing or has another shape."""
    if name not in tensors:
        raise ModelError(f"this CodeGen checkpoint has no tensor {name}; download its folder again")
    if (found := tensors.shape(name)) != shape:
        raise ModelError(f"{name} is {found}, but config.json implies {shape}; download both again")
    return lambda: tensors[name]
