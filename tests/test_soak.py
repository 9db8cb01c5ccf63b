"""A short soak: what thousands of runs are to show by `python -m tests.soak` is tried with a few."""

import pytest

from mtchat.sandbox import sandbox
from tests.soak import Sight, growth, soak

pytestmark = pytest.mark.sandbox


def test_a_short_soak_leaves_nothing_behind_and_stays_right() -> None:
    if not sandbox.probe().ok:
        pytest.skip(f"no sandbox works here: {sandbox.probe().reason}")
    report = soak(60, seed=3, every=5, compare=8)
    assert report.failures == []
    assert len(report.sights) == 12


def test_growth_is_told_by_the_last_quarter_and_the_second() -> None:
    steady = [Sight(run, 0, 0, 0, 0, rss_mib=50.0 + run % 3) for run in range(40)]
    leaking = [Sight(run, 0, 0, 0, 0, rss_mib=50.0 + run) for run in range(40)]
    assert growth(steady) == []
    assert growth(leaking) == ["rss_mib grew from 64.5 to 84.5"]
