"""Whether a way of holding conversations carries over: its gains by set and by fold, and a verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from mtchat.bench.output import markdown_table
from mtchat.bench.quality.report import difference_cell
from mtchat.bench.quality.results import SEED, Criterion, Estimate, compare
from mtchat.bench.quality.run_file import RecordedRun
from mtchat.bench.quality.suite import ScoredSample
from mtchat.bench.quality.table import (
    STRICT,
    baseline_first,
    belong_together,
    describe_way,
    group_rows,
    restrict,
)

FOLDS = 5
FEWEST = 3  # sets that must say that a way helps


@dataclass(frozen=True)
class SetGain:
    """What a way gains over the baseline on one set: on all problems, and on each fold of them."""

    name: str
    whole: Estimate
    folds: tuple[Estimate, ...]

    @property
    def helps(self) -> bool:
        return self.whole.problems > 0 and self.whole.low > 0

    @property
    def hurts(self) -> bool:
        return self.whole.problems > 0 and self.whole.high < 0


@dataclass(frozen=True)
class Verdict:
    """Whether a way is kept: no set's interval says that it hurts, and at least three say that it helps."""

    helps: tuple[str, ...]
    hurts: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return not self.hurts and len(self.helps) >= FEWEST


def format_folds(
    runs: Sequence[RecordedRun], count: int = FOLDS, baseline: str = "", verdict: Criterion = STRICT
) -> str:
    """The gains of every way over the baseline of its model, and the verdicts; Markdown.

    `baseline` is a way as the tables name it; without it, or where a model lacks it, it is `plain`, or else
    the first.
    """
    runs = [restrict(run, runs) for run in baseline_first(runs, baseline)]
    parts = []
    for (model, way), found in group_rows(runs).items():
        pairs = [(first_of(run, runs), run) for run in found.values()]
        gains = [gain_on_set(first, run, count, verdict) for first, run in pairs if first is not run]
        if gains:
            first = describe_way(pairs[0][0].header)
            parts += [f"{model}: {way}, points above {first}, with 95 % intervals over problems:\n"]
            parts += [markdown_table(list(gain_table(gains, count)), 1)]
            parts += [f"{way}: {describe_verdict(judge(gains))}\n"]
    return "\n".join(parts) or "nothing to compare: give the runs of several ways on the same set\n"


def first_of(run: RecordedRun, runs: Sequence[RecordedRun]) -> RecordedRun:
    """The run that a run is compared with: the first of its model and set."""
    return next(each for each in runs if belong_together(run, each))


def gain_on_set(first: RecordedRun, second: RecordedRun, count: int, verdict: Criterion) -> SetGain:
    folds = split_problems(sorted({row.problem for row in first.rows}), count)
    return SetGain(
        second.header.set_name,
        compare(first.rows, second.rows, verdict).difference,
        tuple(
            compare(rows_of(first.rows, fold), rows_of(second.rows, fold), verdict).difference
            for fold in folds
        ),
    )


def split_problems(problems: Sequence[str], count: int) -> list[frozenset[str]]:
    """The problems in folds of about the same size, always the same ones."""
    mixed = list(problems)
    Random(SEED).shuffle(mixed)
    return [frozenset(mixed[number::count]) for number in range(count)]


def rows_of(rows: Sequence[ScoredSample], fold: frozenset[str]) -> list[ScoredSample]:
    return [row for row in rows if row.problem in fold]


def gain_table(gains: Sequence[SetGain], count: int) -> Iterator[list[str]]:
    yield ["set", "problems", "all", *(f"fold {number}" for number in range(1, count + 1))]
    for gain in gains:
        cells = map(difference_cell, (gain.whole, *gain.folds))
        yield [gain.name, str(gain.whole.problems), *cells]


def judge(gains: Sequence[SetGain]) -> Verdict:
    helps = tuple(gain.name for gain in gains if gain.helps)
    return Verdict(helps, tuple(gain.name for gain in gains if gain.hurts))


def describe_verdict(found: Verdict) -> str:
    """A verdict with its reason: "not kept: helps on 2 sets (a, b), and 3 are needed; hurts on none"."""
    helps, hurts = (
        f"{len(names)} {'set' if len(names) == 1 else 'sets'} ({', '.join(names)})" if names else "none"
        for names in (found.helps, found.hurts)
    )
    needed = "" if len(found.helps) >= FEWEST else f", and {FEWEST} are needed"
    return f"{'kept' if found.kept else 'not kept'}: helps on {helps}{needed}; hurts on {hurts}"
