"""Times things against each other in one run: interleaved, repeated, as medians."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Something to time, after `prepare`, which is not timed.

    `target` is in milliseconds, above the case named `over` where one is named.
    """

    name: str
    act: Callable[[], object]
    target: float | None = None
    over: str = ""
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Timing:
    """What was measured: median and 90th percentile in milliseconds, and the median above `case.over`."""

    case: Case
    median: float
    p90: float
    above: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None where there is none."""
        measured = self.median if self.above is None else self.above
        return None if self.case.target is None else measured < self.case.target


def measure(cases: Iterable[Case], repeats: int) -> Iterator[Timing]:
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
        yield Timing(case, medians[case.name], p90, above)


def table(timings: Iterable[Timing]) -> str:
    """The timings as a Markdown table, in milliseconds."""
    rows = ["| what | median | p90 | over | target | |", "|---|---:|---:|---:|---:|---|"]
    for timing in timings:
        case = timing.case
        above = "" if timing.above is None else f"{timing.above:+.1f}"
        target = "" if case.target is None else f"< {case.target:g}"
        met = {None: "", True: "met", False: "missed"}[timing.met]
        rows.append(f"| {case.name} | {timing.median:.1f} | {timing.p90:.1f} | {above} | {target} | {met} |")
    return "\n".join(rows) + "\n"
