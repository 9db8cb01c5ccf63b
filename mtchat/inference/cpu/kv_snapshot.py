"""Keeps on disk what a model has seen last, so that a session that is opened again need not be read again."""

import contextlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy

from mtchat.files import open_private
from mtchat.inference.cpu.decoder import NativeDecoder
from mtchat.inference.prefix_tree import Node

MOST = 2048  # tokens: 59 MB of `starter`
MOST_BYTES = 256 << 20  # 800 tokens of CodeGen 2B, whose heads each have keys of their own
UNREADABLE = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
VERSION = 2  # what version 1 wrote may have tokens out of their place


def save(decoder: NativeDecoder, file: Path, most: int = MOST, size: int = MOST_BYTES) -> None:
    """Write the keys and values of the tokens that were used last; a disk that refuses is no harm."""
    if not decoder.tree.clock:
        return  # nothing was read since the start, so what is there is the latest
    model = decoder.model
    each = model.keys[:, 0].nbytes + model.values[:, 0].nbytes
    most = min(most, size // each)
    nodes = sorted(decoder.tree.walk(), key=lambda node: (-node.used, node.depth))[:most]
    nodes.sort(key=lambda node: node.depth)  # a token's ids come before it
    places = {id(node): place for place, node in enumerate(nodes)}
    slots = [node.slot for node in nodes]
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(part, "wb", opener=open_private) as stream:  # what was typed can be read from it
            numpy.savez(
                stream,
                about=numpy.array(about(decoder)),
                ids=numpy.array([node.id for node in nodes], numpy.int32),
                parents=numpy.array([places.get(id(node.parent), -1) for node in nodes], numpy.int32),
                keys=model.keys[:, slots],
                values=model.values[:, slots],
            )
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def restore(decoder: NativeDecoder, file: Path) -> int:
    """Take up what `save` wrote with the same build; how many tokens, 0 where nothing is of use."""
    try:
        with file.open("rb") as stream, numpy.load(stream) as stored:
            if stored["about"].tolist() != about(decoder):
                return 0
            ids, parents, keys, values = (stored[name] for name in ("ids", "parents", "keys", "values"))
            if not fits(decoder, ids, parents, keys, values):
                return 0
    except UNREADABLE:
        return 0
    tree, model = decoder.tree, decoder.model
    count = min(len(ids), tree.capacity)
    slots = tree.slots(count, [])
    model.keys[:, slots], model.values[:, slots] = keys[:, :count], values[:, :count]
    nodes: list[Node] = []
    for id, parent, slot in zip(ids.tolist(), parents.tolist(), slots, strict=False):
        nodes.append(tree.add(nodes[parent] if parent >= 0 else tree.root, id, slot))
    return count


def fits(decoder: NativeDecoder, ids: Any, parents: Any, keys: Any, values: Any) -> bool:
    """Whether arrays are such as `save` writes: ids with rows, parents before them, keys and values."""
    model, count = decoder.model, ids.size
    places = numpy.arange(count)
    shape = (model.keys.shape[0], count, *model.keys.shape[2:])
    return bool(
        ids.shape == parents.shape == (count,)
        and ids.dtype == parents.dtype == numpy.int32
        and keys.dtype == values.dtype == model.keys.dtype
        and keys.shape == values.shape == shape
        and ((ids >= 0) & (ids < decoder.rows)).all()
        and ((parents >= -1) & (parents < places)).all()
    )


def about(decoder: NativeDecoder) -> list[str]:
    """What must be the same for the numbers to be: other kernels round in other places."""
    model = decoder.model
    library = (model.library._name, os.path.getmtime(model.library._name))
    return [str(VERSION), model.build, *map(str, library), *map(str, model.keys.shape[::2])]
