"""The results of a run as values: pass rates with intervals, pass@k, errors and costs.

The inputs of one problem are not independent, so problems are resampled: a cluster bootstrap.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, fsum
from random import Random
from statistics import median
from typing import TypeVar

from mtchat.bench.quality.run_file import RecordedRun, RunHeader
from mtchat.bench.quality.suite import ScoredSample

PLAIN = "plain"
AT = (1, 5, 10, 100)
RESAMPLES = 10_000
TAIL = 0.025  # on each side of a 95 % interval
SEED = 0

K = TypeVar("K", str, int)
Criterion = Callable[[ScoredSample], bool]
VERDICTS: Mapping[str, Criterion] = {
    "compatible": lambda row: row.compatible,
    "strict": lambda row: row.strict,
}


@dataclass(frozen=True)
class Estimate:
    """A mean over problems with its 95 % interval, between 0 and 1; without problems 0, from 0 to 1.

    If all problems have the same rate, resampling shows no spread: the interval is a point.
    """

    value: float
    low: float
    high: float
    problems: int


@dataclass(frozen=True)
class Pairing:
    """Two runs on the conversations that both have: how many pass in both, or in only one.

    `same` is how many end with the same program.
    `difference` is the second run's pass rate minus the first's, over the problems that both have.
    """

    conversations: int
    both: int
    only_first: int
    only_second: int
    same: int
    difference: Estimate


def pass_at(k: int, samples: int, passed: int) -> float:
    """The probability that one of k samples passes, if `passed` of `samples` do: the unbiased estimator.

    Chen et al. 2021, arXiv:2107.03374; exact fractions, rounded only at the end.
    """
    return float(1 - Fraction(comb(samples - passed, k), comb(samples, k)))


def by_problem(rows: Iterable[ScoredSample], verdict: Criterion, k: int = 1) -> dict[str, float]:
    """pass@k of each problem, sorted by name, the mean over its inputs; k = 1 is the pass rate.

    Inputs with fewer than k samples are left out, and problems that have no others.
    """
    seen: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        seen[row.problem][row.input].append(verdict(row))
    return {
        problem: mean(enough)
        for problem, inputs in sorted(seen.items())
        if (enough := [pass_at(k, len(each), sum(each)) for each in inputs.values() if len(each) >= k])
    }


def estimate(values: Sequence[float]) -> Estimate:
    """The mean over problems, and percentiles of the means of bootstrap resamples."""
    if not values:
        return Estimate(0.0, 0.0, 1.0, 0)
    chance, count = Random(SEED), len(values)
    means = sorted(sum(chance.choices(values, k=count)) / count for _ in range(RESAMPLES))
    outside = int(TAIL * RESAMPLES)
    return Estimate(mean(values), means[outside], means[-1 - outside], count)


def rate(rows: Iterable[ScoredSample], verdict: Criterion, k: int = 1) -> Estimate:
    """pass@k over problems; with k = 1 the mean over problems of the means over inputs and samples."""
    return estimate(list(by_problem(rows, verdict, k).values()))


def compare(first: Iterable[ScoredSample], second: Iterable[ScoredSample], verdict: Criterion) -> Pairing:
    """Two runs side by side; samples are paired by number, rates cover all samples of common inputs."""
    here, there = ({(row.problem, row.input, row.sample): row for row in rows} for rows in (first, second))
    pairs = [(verdict(here[key]), verdict(there[key])) for key in here if key in there]
    known = {key[:2] for key in here} & {key[:2] for key in there}
    before, after = (
        by_problem((row for key, row in rows.items() if key[:2] in known), verdict) for rows in (here, there)
    )
    return Pairing(
        len(pairs),
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        sum(here[key].program == there[key].program for key in here if key in there),
        estimate([after[problem] - before[problem] for problem in before]),
    )


def mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


@dataclass(frozen=True)
class Subset:
    """Some of a run's samples: the number of problems and conversations, and the rates by verdict."""

    problems: int
    conversations: int
    rates: Mapping[str, Estimate]


@dataclass(frozen=True)
class RunCosts:
    """What all conversations took: tokens, seconds, and what a policy tried and changed.

    `turn` is the median time of a turn in seconds; it depends on how many conversations ran in parallel.
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
    thought: int = 0


@dataclass(frozen=True)
class ProgramStatistics:
    """What the programs of a run are like: shares of the programs, between 0 and 1, and means.

    `repeating` have a statement twice, `dead` a name that is bound again before its use, `faulty` a message
    of pyflakes, whose kinds `faults` counts. `with_code` is the share of the turns that have statements of
    their own, `lines` the mean of the lines of code, and `to_reference` how long programs are compared with
    the references, 0 if there are none.
    """

    programs: int
    repeating: float
    dead: float
    faulty: float
    faults: Mapping[str, int]
    with_code: float
    lines: float
    to_reference: float


@dataclass(frozen=True)
class RunStatistics:
    """A run in numbers. `at` has pass@k by k and verdict; `errors` counts why programs do not pass strictly,
    the most frequent first, and `only_compatible` those of them that the published script passes. `readings`
    counts what the instructions were taken for, and `programs` says what the programs are like.
    """

    header: RunHeader
    missing: int
    whole: Subset
    at: Mapping[int, Mapping[str, Estimate]]
    categories: Mapping[str, Subset]
    turns: Mapping[int, Subset]
    errors: Mapping[str, int]
    only_compatible: int
    costs: RunCosts
    readings: Mapping[str, int]
    programs: ProgramStatistics


def analyse(recorded: RecordedRun) -> RunStatistics:
    rows = recorded.rows
    failed = [row for row in rows if not row.strict]
    return RunStatistics(
        recorded.header,
        recorded.missing,
        subset(rows),
        {k: rates(rows, k) for k in AT if k <= recorded.header.samples},
        split_by(rows, lambda row: row.category),
        split_by(rows, lambda row: row.turns),
        dict(sorted(Counter(row.error for row in failed).items(), key=lambda each: (-each[1], each[0]))),
        sum(row.compatible for row in failed),
        add_costs(rows),
        dict(Counter(reading.partition(" ")[0] for row in rows for reading in row.readings).most_common()),
        describe_programs(rows),
    )


def describe_programs(rows: Iterable[ScoredSample]) -> ProgramStatistics:
    """The statistics of the programs; all are 0 without any."""
    found = [row.measured() for row in rows]
    compared = [each for each in found if each.reference_lines]
    return ProgramStatistics(
        programs=len(found),
        repeating=share(each.repeated > 0 for each in found),
        dead=share(each.dead > 0 for each in found),
        faulty=share(bool(each.faults) for each in found),
        faults=dict(Counter(fault for each in found for fault in each.faults).most_common()),
        with_code=sum(each.with_code for each in found) / max(sum(each.turns for each in found), 1),
        lines=sum(each.lines for each in found) / max(len(found), 1),
        to_reference=sum(each.lines for each in compared)
        / max(sum(each.reference_lines for each in compared), 1),
    )


def share(facts: Iterable[bool]) -> float:
    """How many of some facts hold, between 0 and 1."""
    facts = list(facts)
    return sum(facts) / max(len(facts), 1)


def name_rate(header: RunHeader) -> str:
    """What the rates of a run measure: only rates of raw samples compare with published ones."""
    asked = ", asked" if header.ask else ""
    understood = ", understood" if header.understanding else ""
    raw = header.policy == PLAIN and not header.variation
    measure = "raw samples" if raw else f"pass@1 after policy {header.policy}{asked}"
    return measure + understood + (header.variation and f", {header.variation}")


def subset(rows: Iterable[ScoredSample]) -> Subset:
    rows = tuple(rows)
    return Subset(len({row.problem for row in rows}), len(rows), rates(rows))


def rates(rows: Iterable[ScoredSample], k: int = 1) -> dict[str, Estimate]:
    rows = tuple(rows)
    return {name: rate(rows, verdict, k) for name, verdict in VERDICTS.items()}


def split_by(rows: Iterable[ScoredSample], key: Callable[[ScoredSample], K]) -> dict[K, Subset]:
    """A run split by a property of its samples, in order of the property."""
    rows = tuple(rows)
    values = sorted({key(row) for row in rows})
    return {value: subset(row for row in rows if key(row) == value) for value in values}


def add_costs(rows: Iterable[ScoredSample]) -> RunCosts:
    rows = tuple(rows)
    return RunCosts(
        sum(row.prompt_tokens for row in rows),
        sum(row.written for row in rows),
        sum(row.seconds for row in rows),
        sum(row.tried for row in rows),
        sum(row.mended for row in rows),
        median([seconds for row in rows for seconds in row.clock] or [0.0]),
        sum(row.asked for row in rows),
        sum(row.answered for row in rows),
        sum(row.needless for row in rows),
        sum(row.thought for row in rows),
    )
