"""Whether a gain carries over: set by set, fold by fold, and what is kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.bench.quality.folds import (
    SetGain,
    describe_verdict,
    format_folds,
    judge,
    split_problems,
)
from mtchat.bench.quality.results import Estimate
from mtchat.bench.quality.run_file import RecordedRun, RunFile, RunHeader
from mtchat.bench.quality.suite import ScoredSample
from tests.support.shell import mtchat

HEADER = RunHeader(
    *("mtpb", "fake", "f", "float32", "cpu", "multi", "plain", 0.0, 0.95, 1, 0, "0", 20, "d"), dataset="a"
)


def made(passes: str, **changes: str) -> RecordedRun:
    """A run of one conversation for each letter; 1 passes."""
    rows = [ScoredSample(f"p{at}", 0, 0, "", 1, (), "", strict=each == "1") for at, each in enumerate(passes)]
    return RecordedRun(replace(HEADER, **changes), tuple(rows))


def gain(name: str, low: float, high: float, problems: int = 9) -> SetGain:
    return SetGain(name, Estimate((low + high) / 2, low, high, problems), ())


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        (
            [gain("a", 0.1, 0.2), gain("b", 0.1, 0.2), gain("c", 0.1, 0.2), gain("d", -0.1, 0.1)],
            "kept: helps on 3 sets (a, b, c); hurts on none",
        ),
        (
            [gain("a", 0.1, 0.2), gain("b", 0.0, 0.2), gain("c", 0.1, 0.2)],
            "not kept: helps on 2 sets (a, c), and 3 are needed; hurts on none",
        ),
        (
            [*(gain(name, 0.1, 0.2) for name in "abc"), gain("d", -0.2, -0.1)],
            "not kept: helps on 3 sets (a, b, c); hurts on 1 set (d)",
        ),
        ([gain("a", 0.0, 1.0, problems=0)], "not kept: helps on none, and 3 are needed; hurts on none"),
    ],
)
def test_a_way_is_kept_if_it_helps_on_three_sets_and_hurts_on_none(gains: list[SetGain], said: str):
    assert describe_verdict(judge(gains)) == said


def test_folds_share_the_problems_and_are_always_the_same():
    problems = [f"p{number}" for number in range(23)]
    folds = split_problems(problems, 5)
    assert sorted(map(len, folds)) == [4, 4, 5, 5, 5]
    assert sorted(name for fold in folds for name in fold) == sorted(problems)
    assert folds == split_problems(problems, 5)


def test_gains_are_shown_set_by_set_and_fold_by_fold():
    runs = []
    for name in "abc":
        runs += [made("1" * 20, dataset=name, policy="default"), made("01" * 10, dataset=name)]
    text = format_folds(runs, 4)
    assert "fake float32: default, points above plain" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert rows[0] == ["set", "problems", "all", "fold 1", "fold 2", "fold 3", "fold 4"]
    assert [row[0] for row in rows[2:]] == ["a", "b", "c"]
    assert rows[2][1:3] == ["20", "+50.0 (+30.0 to +70.0)"]
    assert sum(float(cell.split()[0]) for cell in rows[2][3:]) == pytest.approx(200.0)
    assert "default: kept: helps on 3 sets (a, b, c)" in text


def test_another_way_can_be_the_baseline():
    runs = [made("00"), made("11", policy="default"), made("11", policy="default", variation="run=off")]
    text = format_folds(runs, 2, baseline="default")
    assert "plain, points above default" in text
    assert "default, run=off, points above default" in text
    assert "plain: not kept" in text


def test_runs_without_a_counterpart_are_nothing_to_compare():
    assert format_folds([made("01")]).startswith("nothing to compare")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--folds", "1"], "--folds must be at least 2"),
        (["--baseline", "best"], "no run is of the way 'best'; the ways are: plain"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: list[str], said: str, tmp_path: Path):
    path = tmp_path / "run.jsonl"
    with RunFile(path, HEADER):
        pass
    done = mtchat(tmp_path, "bench", "report", str(path), *words)
    assert done.returncode == 2
    assert said in done.stderr
