"""Saves the most recently used part of the KV cache on disk, so that a resumed session needs no prefill."""

import contextlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy

from mtchat.files import open_private
from mtchat.inference.cpu.decoder import CpuDecoder
from mtchat.inference.prefix_tree import TreeNode

MAX_TOKENS = 2048  # 59 MB for `starter`
MAX_BYTES = 256 << 20  # 800 tokens of CodeGen 2B, which has one KV head per head
UNREADABLE = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
VERSION = 2  # version 1 could save tokens without their parents


def save(decoder: CpuDecoder, file: Path, most: int = MAX_TOKENS, size: int = MAX_BYTES) -> None:
    """Write the keys and values of the most recently used tokens; a failing disk is ignored."""
    if not decoder.tree.clock:
        return  # nothing was computed since the start: the snapshot on disk is the latest
    model = decoder.model
    each = model.keys[:, 0].nbytes + model.values[:, 0].nbytes
    most = min(most, size // each)
    nodes = sorted(decoder.tree.walk(), key=lambda node: (-node.last_used, node.depth))[:most]
    nodes.sort(key=lambda node: node.depth)  # parents before their children
    places = {id(node): place for place, node in enumerate(nodes)}
    slots = [node.slot for node in nodes]
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(part, "wb", opener=open_private) as stream:  # it reveals what the user typed
            numpy.savez(
                stream,
                about=numpy.array(fingerprint_of(decoder)),
                ids=numpy.array([node.id for node in nodes], numpy.int32),
                parents=numpy.array([places.get(id(node.parent), -1) for node in nodes], numpy.int32),
                keys=model.keys[:, slots],
                values=model.values[:, slots],
            )
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def restore(decoder: CpuDecoder, file: Path) -> int:
    """Load a snapshot that the same build wrote: the number of tokens, 0 if it is missing or unusable."""
    try:
        with file.open("rb") as stream, numpy.load(stream) as stored:
            if stored["about"].tolist() != fingerprint_of(decoder):
                return 0
            ids, parents, keys, values = (stored[name] for name in ("ids", "parents", "keys", "values"))
            if not fits(decoder, ids, parents, keys, values):
                return 0
    except UNREADABLE:
        return 0
    tree, model = decoder.tree, decoder.model
    count = min(len(ids), tree.capacity)
    slots = tree.allocate(count, [])
    model.keys[:, slots], model.values[:, slots] = keys[:, :count], values[:, :count]
    nodes: list[TreeNode] = []
    for id, parent, slot in zip(ids.tolist(), parents.tolist(), slots, strict=False):
        nodes.append(tree.insert(nodes[parent] if parent >= 0 else tree.root, id, slot))
    return count


def fits(decoder: CpuDecoder, ids: Any, parents: Any, keys: Any, values: Any) -> bool:
    """Whether arrays fit this model: valid ids, parents before children, keys and values of its shape."""
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


def fingerprint_of(decoder: CpuDecoder) -> list[str]:
    """What must be equal for a snapshot to be usable: other kernels round differently."""
    model = decoder.model
    library = (model.library._name, os.path.getmtime(model.library._name))
    return [str(VERSION), model.build, *map(str, library), *map(str, model.keys.shape[::2])]
