"""The sandbox suite of mtchat bench speed: what a run costs, in milliseconds, against targets."""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mtchat.errors import MtchatError
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program

CANDIDATES = 8
SMALL = ("import math\nwords = ['a', 'b']", "def double(value):\n    return 2 * value")
TABLE = ("import pandas as pd\ntable = pd.DataFrame({'a': range(10_000), 'b': range(10_000)})",)
FIGURE = ("import matplotlib.pyplot as plt",)
PLOT = "plt.plot([1, {0}, 2])\nplt.savefig('plot.png')"
BARE = "bare `python -I -c pass`"


@dataclass(frozen=True)
class Case:
    """Something to time, after `prepare`, which is not timed.

    `target` is in milliseconds: of the time above that of the case named `over`, if one is named.
    """

    name: str
    act: Callable[[], object]
    target: float | None = None
    over: str = ""
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class CaseTiming:
    """What was measured: median and 90th percentile in milliseconds, and the median above `case.over`."""

    case: Case
    median: float
    p90: float
    above: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        measured = self.median if self.above is None else self.above
        return None if self.case.target is None else measured < self.case.target


def make_cases(
    cold: Callable[[Program], Outcome], warm: Callable[[Program, bool], Outcome]
) -> Iterator[Case]:
    """Every timed program is new, so that no result is cached.

    `cold` runs a program in a new sandbox; `warm(program, keep)` resumes from the last snapshot it kept.
    """
    fresh = itertools.count(10)

    def start_cold() -> None:
        if not cold(new_program("pass")).ok:
            raise MtchatError("a measured run failed")

    def turn(*codes: str, keep: bool = True) -> None:
        resumed = len(codes) - 1
        outcome = warm(new_program(*codes), keep)
        if not outcome.ok or outcome.resumed < resumed:
            why = outcome.error or outcome.note or "nothing was resumed"
            raise MtchatError(f"a measured run failed: {why}")

    def candidates() -> None:
        for _ in range(CANDIDATES):
            turn(*TABLE, f"print(table.a.sum() + {next(fresh)})", keep=False)

    def after(
        codes: tuple[str, ...], act: Callable[[], None], name: str, target: float | None = None
    ) -> Case:
        return Case(name, act, target, prepare=lambda: warm(new_program(*codes), True))

    yield Case(BARE, start_bare_python)
    yield Case("sandbox, cold start", start_cold, 15.0, BARE)
    yield after(SMALL, lambda: turn(*SMALL, f"print(double({next(fresh)}))"), "incremental turn", 5.0)
    yield after(TABLE, lambda: turn(*TABLE, f"x = {next(fresh)}"), "incremental turn on a pandas state")
    yield after(TABLE, candidates, f"{CANDIDATES} candidates on a pandas state", 100.0)
    yield after(FIGURE, lambda: turn(*FIGURE, PLOT.format(next(fresh))), "a plot, matplotlib imported", 120.0)


def new_program(*codes: str) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))


def start_bare_python() -> None:
    """What the start of a sandbox is compared with."""
    subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)


def measure_cases(cases: Iterable[Case], repeats: int) -> Iterator[CaseTiming]:
    """Time all cases in turn, `repeats` times, after one round that does not count."""
    cases = tuple(cases)
    seen: dict[str, list[float]] = {case.name: [] for case in cases}
    for turn in range(repeats + 1):
        for case in cases:
            case.prepare()
            began = time.perf_counter()
            case.act()
            if turn:
                seen[case.name].append(1000 * (time.perf_counter() - began))
    medians = {name: statistics.median(times) for name, times in seen.items()}
    for case in cases:
        times = sorted(seen[case.name])
        p90 = times[min(len(times) - 1, round(0.9 * len(times)))]
        above = medians[case.name] - medians[case.over] if case.over else None
        yield CaseTiming(case, medians[case.name], p90, above)


def format_table(timings: Iterable[CaseTiming]) -> str:
    """The timings as a Markdown table, in milliseconds."""
    rows = ["| case | median | p90 | over | target | |", "|---|---:|---:|---:|---:|---|"]
    for timing in timings:
        case = timing.case
        above = "" if timing.above is None else f"{timing.above:+.1f}"
        target = "" if case.target is None else f"< {case.target:g}"
        met = {None: "", True: "met", False: "missed"}[timing.met]
        rows.append(f"| {case.name} | {timing.median:.1f} | {timing.p90:.1f} | {above} | {target} | {met} |")
    return "\n".join(rows) + "\n"
