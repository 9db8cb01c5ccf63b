"""The contract of a file of peers/: another engine that computes the same model, measured beside ours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from mtchat import plugins
from mtchat.bench.speed.subject import Subject

PACKAGE = "mtchat.bench.speed.peers"
Load = Callable[[str], Any]


@dataclass(frozen=True)
class Setup:
    """What an engine is started with. `file` is the model's GGUF file, "" where it has none."""

    engine: str
    model: str
    file: str
    precision: str
    threads: int


class Peer(Protocol):
    """What a file of peers/ defines: its name in full, and the most runs that are worth their time."""

    TITLE: str
    MOST: int

    def missing(self, file: str) -> str:
        """Why a model cannot be measured with it here, and what to do; "" where it can. Imports nothing."""
        ...

    def version(self) -> str: ...

    def begin(self, setup: Setup, load: Load) -> Subject:
        """The engine, loaded. `load(precision)` gives our own engine of the model."""
        ...


def find(name: str) -> Peer:
    """By its name in full, or that of its file."""
    return cast(Peer, plugins.load(PACKAGE, name.replace(".", "_")))
