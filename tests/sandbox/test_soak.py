"""A short soak test; `python -m evals.soak` does thousands of runs."""

import subprocess
import sys

import pytest

from evals.soak import Sight, growth
from mtchat.sandbox.host import execute

pytestmark = pytest.mark.sandbox


def test_a_short_soak_leaves_nothing_behind_and_stays_right() -> None:
    """In a process of its own, since what other tests keep would count."""
    if not execute.probe().ok:
        pytest.skip(f"no sandbox works on this machine: {execute.probe().reason}")
    command = [sys.executable, "-m", "evals.soak", "--runs", "60", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 runs" in done.stdout


def test_growth_is_told_by_the_last_quarter_and_the_second() -> None:
    steady = [Sight(run, 0, 0, 0, 0, rss_mib=50.0 + run % 3) for run in range(40)]
    leaking = [Sight(run, 0, 0, 0, 0, rss_mib=50.0 + run) for run in range(40)]
    assert growth(steady) == []
    assert growth(leaking) == ["rss_mib grew from 64.5 to 84.5"]
