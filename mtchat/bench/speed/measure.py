"""What a file of measures/ defines: quantities that are taken together, and how."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mtchat import plugins
from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Sizes, Subject

PACKAGE = "mtchat.bench.speed.measures"


@dataclass(frozen=True)
class Measure:
    """`take` gives one value of each quantity that an engine has; its number is another in each round.

    The `fresh` ones want an engine that has only just been loaded.
    """

    name: str
    quantities: tuple[Quantity, ...]
    take: Callable[[Subject, Script, Sizes, int], Mapping[str, float]]
    fresh: bool = False


def measures() -> tuple[Measure, ...]:
    """Those of all files, which are ordered by their `RANK`."""
    loaded = sorted((plugins.load(PACKAGE, name) for name in plugins.names(PACKAGE)), key=rank)
    return tuple(measure for module in loaded for measure in module.MEASURES)


def find(name: str) -> Measure:
    return next(measure for measure in measures() if measure.name == name)


def rank(module: object) -> int:
    found: int = module.RANK  # type: ignore[attr-defined]
    return found


def quantities(measures: Iterable[Measure]) -> tuple[Quantity, ...]:
    return tuple(quantity for measure in measures for quantity in measure.quantities)
