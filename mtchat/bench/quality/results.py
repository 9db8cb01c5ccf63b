"""What a run came to, as values: rates with intervals, whole and by kind of problem, errors, and costs."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from mtchat.bench.quality.runs import Header, Recorded
from mtchat.bench.quality.statistics import VERDICTS, Estimate, rate
from mtchat.bench.quality.suite import Row

PLAIN = "plain"
WRONG = "wrong"
AT = (1, 5, 10, 100)

K = TypeVar("K", str, int)


@dataclass(frozen=True)
class Part:
    """Some of a run's rows: of how many problems and conversations, and their rates, by verdict."""

    problems: int
    conversations: int
    rates: Mapping[str, Estimate]


@dataclass(frozen=True)
class Costs:
    """What all conversations took: tokens, seconds, and what a policy tried and changed.

    `turn` is the median of the seconds of a turn; what it means depends on how many were held at once.
    """

    prompt_tokens: int
    written: int
    seconds: float
    tried: int
    mended: int
    turn: float = 0.0
    asked: int = 0
    answered: int = 0
    needless: int = 0


@dataclass(frozen=True)
class Result:
    """A run in numbers. `at` has pass@k by k and verdict; `errors` counts what kept programs from passing
    strictly, the most frequent first, and `only_compatible` those that the published script passes.
    """

    header: Header
    missing: int
    whole: Part
    at: Mapping[int, Mapping[str, Estimate]]
    categories: Mapping[str, Part]
    turns: Mapping[int, Part]
    errors: Mapping[str, int]
    only_compatible: int
    costs: Costs


def result(recorded: Recorded) -> Result:
    rows = recorded.rows
    failed = [row for row in rows if not row.strict]
    return Result(
        recorded.header,
        recorded.missing,
        part(rows),
        {k: rates(rows, k) for k in AT if k <= recorded.header.samples},
        split(rows, lambda row: row.category),
        split(rows, lambda row: row.turns),
        dict(sorted(Counter(row.error for row in failed).items(), key=lambda each: (-each[1], each[0]))),
        sum(row.compatible for row in failed),
        costs(rows),
    )


def measure(header: Header) -> str:
    """What the rates of a run are rates of: only those of raw samples are like published ones."""
    asked = ", asked" if header.ask else ""
    return "raw samples" if header.policy == PLAIN else f"pass@1 after policy {header.policy}{asked}"


def part(rows: Iterable[Row]) -> Part:
    rows = tuple(rows)
    return Part(len({row.problem for row in rows}), len(rows), rates(rows))


def rates(rows: Iterable[Row], k: int = 1) -> dict[str, Estimate]:
    rows = tuple(rows)
    return {name: rate(rows, verdict, k) for name, verdict in VERDICTS.items()}


def split(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, Part]:
    """The parts of a run by a property of their problems, in its order."""
    rows = tuple(rows)
    values = sorted({key(row) for row in rows})
    return {value: part(row for row in rows if key(row) == value) for value in values}


def costs(rows: Iterable[Row]) -> Costs:
    rows = tuple(rows)
    return Costs(
        sum(row.prompt_tokens for row in rows),
        sum(row.written for row in rows),
        sum(row.seconds for row in rows),
        sum(row.tried for row in rows),
        sum(row.mended for row in rows),
        median([seconds for row in rows for seconds in row.clock] or [0.0]),
        sum(row.asked for row in rows),
        sum(row.answered for row in rows),
        sum(row.needless for row in rows),
    )
