"""What is measured, as values: a quantity, the row of its samples, and rows as JSON."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Quantity:
    """Something that is measured, by its name and unit; `less` says that less of it is better.

    Those of one `group` are drawn together. Engines without it are compared by what they have of the
    quantity named `like`.
    """

    name: str
    unit: str
    group: str
    meaning: str
    less: bool = False
    like: str = ""


@dataclass(frozen=True)
class Row:
    """What one engine gave for one quantity, in so many runs."""

    engine: str
    model: str
    name: str
    unit: str
    median: float
    min: float
    max: float
    runs: int


Samples = Mapping[tuple[str, str], Sequence[float]]  # by engine and quantity


def rows(samples: Samples, quantities: Iterable[Quantity], engines: Sequence[str], model: str) -> list[Row]:
    """A row for each quantity and engine that gave it, in their order."""
    return [
        row(engine, model, quantity, samples[engine, quantity.name])
        for quantity in quantities
        for engine in engines
        if samples.get((engine, quantity.name))
    ]


def row(engine: str, model: str, quantity: Quantity, seen: Sequence[float]) -> Row:
    median = statistics.median(seen)
    return Row(engine, model, quantity.name, quantity.unit, median, min(seen), max(seen), len(seen))


def to_json(rows: Iterable[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def better(ours: Row, theirs: Row, quantity: Quantity) -> float:
    """How many times better ours is."""
    return theirs.median / ours.median if quantity.less else ours.median / theirs.median
