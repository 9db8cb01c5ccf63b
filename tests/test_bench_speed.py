"""The stopwatch: what it counts, what it compares, what it says."""

import time

import pytest

from mtchat.bench.speed import Case, Timing, measure, table
from mtchat.cli import arguments
from mtchat.cli.bench import bench
from mtchat.sandbox import sandbox


def test_cases_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    slow = [0.05]

    def first() -> None:
        order.append("a")
        time.sleep(slow.pop() if slow else 0.0)

    cases = [Case("a", first), Case("b", lambda: order.append("b"), prepare=lambda: order.append("p"))]
    timings = list(measure(cases, 3))
    assert order == ["a", "p", "b"] * 4
    assert [timing.case.name for timing in timings] == ["a", "b"]
    assert timings[0].p90 < 50


def test_a_target_may_be_above_another_case() -> None:
    cases = [Case("base", lambda: time.sleep(0.01)), Case("more", lambda: time.sleep(0.03), 15.0, "base")]
    base, more = measure(cases, 3)
    assert base.met is None
    assert more.above is not None
    assert more.above == pytest.approx(more.median - base.median)
    assert more.met is False
    assert Timing(Case("quick", print, 5.0), 4.0, 9.0).met is True


def test_the_table_says_what_was_missed() -> None:
    rows = table([Timing(Case("x", print, 5.0), 7.0, 9.0), Timing(Case("y", print), 1.0, 2.0)]).splitlines()
    assert rows[2] == "| x | 7.0 | 9.0 |  | < 5 | missed |"
    assert rows[3] == "| y | 1.0 | 2.0 |  |  |  |"


@pytest.mark.sandbox
def test_the_sandbox_suite_measures_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    variant = sandbox.chosen().variant
    if variant is None or not variant.warm:
        pytest.skip("no sandbox that keeps states works here")
    assert bench(arguments.parse(["bench", "speed", "--repeats", "1"])) == 0
    said = capsys.readouterr().out
    for what in ("bare", "cold start", "incremental turn", "8 candidates", "a plot"):
        assert what in said
