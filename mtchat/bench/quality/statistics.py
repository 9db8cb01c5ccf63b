"""How often programs are right and how sure that is: pass rates, pass@k, and intervals over problems.

The inputs of one problem are not independent, so problems are what is resampled: a cluster bootstrap.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, fsum
from random import Random

from mtchat.bench.quality.suite import Row

RESAMPLES = 10_000
TAIL = 0.025  # on each side of a 95 % interval
SEED = 0

Verdict = Callable[[Row], bool]
VERDICTS: Mapping[str, Verdict] = {
    "compatible": lambda row: row.compatible,
    "strict": lambda row: row.strict,
}


@dataclass(frozen=True)
class Estimate:
    """A mean over problems with its 95 % interval, in parts of one; where no problem is known, 0 from 0 to 1.

    Where all problems give the same, resampling them shows no spread, and the interval is that one point.
    """

    value: float
    low: float
    high: float
    problems: int


@dataclass(frozen=True)
class Pairing:
    """Two runs on what both have: conversations that pass in both, in one alone, and of how many.

    `difference` is the second run's pass rate less the first's, over the problems that both have.
    """

    conversations: int
    both: int
    only_first: int
    only_second: int
    difference: Estimate


def pass_at(k: int, samples: int, passed: int) -> float:
    """The chance that some of k samples passes, when `passed` of so many do: the unbiased estimator.

    Chen et al. 2021, arXiv:2107.03374; in whole numbers, so that nothing is rounded before the end.
    """
    return float(1 - Fraction(comb(samples - passed, k), comb(samples, k)))


def by_problem(rows: Iterable[Row], verdict: Verdict, k: int = 1) -> dict[str, float]:
    """pass@k of each problem, sorted by name, the mean over its inputs; k = 1 is the pass rate.

    An input with fewer samples than k says nothing, and neither does a problem that has no other.
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
    """The mean of what the problems gave, and the percentiles of the means of as many drawn from them."""
    if not values:
        return Estimate(0.0, 0.0, 1.0, 0)
    chance, count = Random(SEED), len(values)
    means = sorted(sum(chance.choices(values, k=count)) / count for _ in range(RESAMPLES))
    outside = int(TAIL * RESAMPLES)
    return Estimate(mean(values), means[outside], means[-1 - outside], count)


def rate(rows: Iterable[Row], verdict: Verdict, k: int = 1) -> Estimate:
    """pass@k over problems; with k = 1 the mean over problems of that over inputs and samples."""
    return estimate(list(by_problem(rows, verdict, k).values()))


def compare(first: Iterable[Row], second: Iterable[Row], verdict: Verdict) -> Pairing:
    """Two runs side by side; samples are paired by their number, rates taken of all samples of a pair."""
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
        estimate([after[problem] - before[problem] for problem in before]),
    )


def mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
