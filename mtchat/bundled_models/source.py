"""The contract of a source: a place that gives the pieces of a model's file."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from mtchat.bundled_models.catalogue import Model

Watch = Callable[[int], None]
"""Told often how many bytes of a piece have come; raises StoppedError to end the download."""


class SourceError(Exception):
    """A source did not give what was asked, in one line; another source, or a later try, may."""


class WrongHashError(Exception):
    """A source gave bytes that are not the pinned ones."""


class StoppedError(Exception):
    """The download is no longer wanted."""


@dataclass(frozen=True)
class Source:
    """Where pieces come from.

    `ready` raises SourceError when the source does not answer. `blocks(model, piece, scratch, watch)`
    yields the bytes of a piece and leaves nothing in the scratch folder. `workers` pieces are fetched
    at a time.
    """

    name: str
    ready: Callable[[Model], None]
    blocks: Callable[[Model, int, Path, Watch], Generator[bytes, None, None]]
    workers: int = 1
