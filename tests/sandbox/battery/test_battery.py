"""Each case of the battery in each tier, and the proof that its attack works where nothing holds it."""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sandbox.battery.arms import bare, contained
from tests.sandbox.battery.bait import Bait
from tests.sandbox.battery.leaks import PATIENCE_SECONDS
from tests.sandbox.battery.row import LIMITS, Arena, Row, Work, matches
from tests.sandbox.battery.rows import GROUPS, ROWS, WORKS
from tests.sandbox.battery.table import DOCUMENT, Results, cells, committed
from tests.sandbox.battery.tiers import Tier, tier

pytestmark = pytest.mark.sandbox
LIMITS_OF_WORK = replace(LIMITS, seconds=120.0, memory_mib=1024, disk_mib=64)
CONTROLLED = [row for row in ROWS if not row.control.without]


def arm(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test whose result goes into the table."""

    def marked(test: Callable[..., None]) -> Callable[..., None]:
        test.arm = name  # type: ignore[attr-defined]
        return test

    return marked


def on_machine(row: Row) -> bool:
    return row.machine in ("", os.uname().machine)


def on_this_machine(row: Row) -> None:
    if not on_machine(row):
        pytest.skip(f"machine code of {row.machine}")


@arm("control")
@pytest.mark.parametrize("row", CONTROLLED, ids=str)
def test_the_attack_works_where_nothing_holds_it(row: Row, bait: Bait, folder: Path) -> None:
    on_this_machine(row)
    control = row.control
    if control.root and os.geteuid() != 0:
        pytest.skip("this attack needs root to work")
    bait.touched()
    seen = bare(row, bait, folder)
    lines = seen.stdout.splitlines()
    if control.lacks and matches((control.lacks,), lines[:1]):
        pytest.skip(f"the host has no such thing: {lines[0]}")
    assert matches(control.says, lines), f"printed {lines}; {seen.stderr[-800:]}"
    assert seen.status == control.status, seen.stderr[-800:]
    assert seen.survivors == control.survivors
    touched, until = bait.touched(), time.monotonic() + PATIENCE_SECONDS
    while not control.touches <= touched and time.monotonic() < until:  # a process that was killed ends soon
        touched |= bait.touched()
    assert touched == control.touches
    if control.check is not None:
        control.check(folder)


@arm("tier")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_attack_is_held(
    row: Row, here: Tier, bait: Bait, folder: Path, untouched: None, request: pytest.FixtureRequest
) -> None:
    on_this_machine(row)
    expected = row.expected(here)
    if expected.absent:
        pytest.skip(expected.absent)
    if expected.hole:
        request.applymarker(pytest.mark.xfail(reason=expected.hole, strict=True))
    if row.play is not None:
        row.play(Arena(here, bait, folder))
    else:
        expected.hold(contained(row, here, bait, folder / "collected"))


@arm("work")
@pytest.mark.parametrize("work", WORKS, ids=str)
def test_an_ordinary_program_is_let_be(
    work: Work, here: Tier, bait: Bait, folder: Path, untouched: None
) -> None:
    outcome = Arena(here, bait, folder).play(*work.turns, limits=LIMITS_OF_WORK)
    if here.name == "T2" and work.t2:
        assert matches((work.t2,), [outcome.error]), outcome.error
        assert not outcome.limit
    else:
        assert (outcome.error, outcome.stderr) == ("", "")
        assert outcome.stdout.splitlines()[-1] == work.said


def test_the_control_finds_an_inherited_descriptor_whatever_its_number(folder: Path) -> None:
    """A process that has many files open, as one that ran other tests has."""
    row = ROWS[11]
    assert row.title == "inherited descriptors"
    with ExitStack() as stack:
        (folder / "bait").mkdir()
        high = Bait(folder / "bait", stack)
        high.handle = fcntl.fcntl(high.handle, fcntl.F_DUPFD_CLOEXEC, 300)
        stack.callback(os.close, high.handle)
        lines = bare(row, high, folder).stdout.splitlines()
    assert lines == ["ESCAPED key", f"started anew: {high.handle} "]


def test_nothing_escapes_from_the_first_tier(results: Results, request: pytest.FixtureRequest) -> None:
    """After the cases, so that a run of the whole battery ends with its claim."""
    if tier("T1").choice is None:
        pytest.skip(f"T1 does not work here: {tier('T1').reason}")
    cases = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [
        each.params["row"]
        for each in cases
        if each and each.params.get("name") == "T1"
        if "row" in each.params
    ]
    ended = {row.number: results[str(row), "T1"] for row in asked if on_machine(row)}
    assert {number: result for number, result in ended.items() if result != "held"} == {}


def test_the_battery_has_its_hundred_and_twenty_cases_in_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, 121))
    assert sum(map(len, GROUPS.values())) == 120
    assert not [row.number for row in ROWS if row.t1.hole]


def test_each_case_has_a_control_or_says_why_not() -> None:
    for row in ROWS:
        assert row.control.without or row.turns, row.number
        assert row.play is not None or row.turns, row.number


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_committed_table_says_what_the_case_says(row: Row) -> None:
    assert committed().get(row.number) == cells(row), f"make docs renews {DOCUMENT.name}"
