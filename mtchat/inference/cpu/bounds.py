"""What the kernels take for granted of a model's parts; it is checked before an address is made of one.

C reads and writes by these sizes, whatever the parts are: each must be as large as they say, and in the file.
"""

from collections.abc import Iterator
from pathlib import Path

from mtchat.errors import ModelError
from mtchat.inference.cpu.blocks import BITS, BLOCK, STRIP, group_columns, strip_bytes
from mtchat.inference.cpu.weights import FLOATS, OVERRUN, Part, Shape, Weights, read

QWEN2, CODEGEN = "qwen2", "codegen"
OPTIONAL = ("query_bias", "key_bias", "value_bias")
LANES = 16  # numbers in a register, at most
WIDEST_HEAD = 256
WIDEST = 1 << 24  # of a row of activations: 64 of them are counted in 32 bits
Size = tuple[int, ...]


def layer_sizes(architecture: str, shape: Shape) -> dict[str, Size]:
    """The shape of each part of a layer: (rows, columns) of a matrix, (numbers,) of a vector."""
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


def sizes(architecture: str, shape: Shape) -> Iterator[tuple[str, Size]]:
    """The shape of every part."""
    layer = layer_sizes(architecture, shape)
    for number in range(shape.layers):
        yield from ((f"{number}.{name}", size) for name, size in layer.items())
    rows = (shape.vocabulary, shape.width)
    yield from (("norm", (shape.width,)), ("output", rows), ("embedding", rows))
    if architecture == CODEGEN:
        yield from (("shift", (shape.width,)), ("output_bias", (shape.vocabulary,)))


def check(weights: Weights) -> None:
    """ModelError where the kernels would read or write outside."""
    try:
        check_shape(weights.architecture, weights.shape)
        for name, size in sizes(weights.architecture, weights.shape):
            part = weights.parts.get(name)
            if part is None and name.rsplit(".", 1)[-1] not in OPTIONAL:
                raise ValueError(f"{name} is not there")
            if part is not None:
                check_part(name, part, size, weights.data.size)
    except ValueError as error:
        raise ModelError(f"this model cannot be computed: {error}; fetch it again") from error


def sound(folder: Path) -> bool:
    """Whether a model that was laid out in a folder is whole."""
    try:
        check(read(folder))
    except ModelError:
        return False
    return True


def check_shape(architecture: str, shape: Shape) -> None:
    """ValueError where the kernels have no room for heads, rows or columns of this size."""
    shape.check()
    step = 4 * LANES if architecture == QWEN2 else LANES
    if architecture not in (QWEN2, CODEGEN):
        raise ValueError(f"the architecture {architecture[:40]}")
    if shape.head % step or shape.head > WIDEST_HEAD:
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
        if size % BLOCK or size > WIDEST:
            raise ValueError(f"a row of {size}")


def check_part(name: str, part: Part, size: Size, room: int) -> None:
    """ValueError where a part is not of this shape, or not in a file of so many bytes."""
    for value in (part.kind, part.rows, part.columns, part.start, part.size):
        if type(value) is not int:
            raise ValueError(f"{name} has {value!r} for a number")
    if len(size) == 1:
        needed = -(-size[0] // STRIP) * STRIP
        fits = part.kind == FLOATS and part.rows == 1 and part.columns >= needed
        taken = 4 * part.columns
    else:
        needed = -(-size[0] // STRIP) * STRIP
        fits = part.kind in BITS and (part.rows, part.columns) == (needed, size[1])
        fits = fits and part.columns % group_columns(part.kind) == 0
        taken = part.rows // STRIP * strip_bytes(part.kind, part.columns) if fits else 0
    if not fits:
        raise ValueError(f"{name} is {part.rows} by {part.columns} and not {' by '.join(map(str, size))}")
    if part.size != taken or part.start < 0 or part.start % 4 or part.start + taken > room - OVERRUN:
        raise ValueError(f"{name} lies outside of the weights")
