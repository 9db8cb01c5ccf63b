"""Engines measured against each other in one run: each in its own processes, taking turns, several times."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from mtchat.bench.output import Say
from mtchat.bench.speed.measures import Measure
from mtchat.bench.speed.results import Quantity
from mtchat.errors import MtchatError

LOAD = Quantity("load", "s", "loading", "from process start to an engine that is ready", less=True)
PEAK = Quantity(
    "peak_memory", "MiB", "memory of a process", "peak memory over 20 turns and some replies", less=True
)
STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6)  # user, nice, system and interrupts, as the first line of STAT counts them
NOTICEABLE = 0.05


class MeasuredProcess(Protocol):
    """An engine in a process: `load` seconds to start, at most `peak` MiB of memory so far."""

    @property
    def load(self) -> float: ...

    @property
    def peak(self) -> float: ...

    def take(self, measure: str, number: int) -> Mapping[str, float]: ...


class Round(Protocol):
    """What is done with each contender in a round."""

    def __call__(self, contender: "Contender", number: int) -> None: ...


@dataclass(frozen=True)
class Contender:
    """An engine: its name, how to start a process of it, and the most runs that are worth their time."""

    name: str
    start: Callable[[], AbstractContextManager[MeasuredProcess]]
    most: int = 1000


class Comparison:
    """Measures all contenders. The first is ours; any other that fails is dropped with a note."""

    def __init__(self, contenders: Iterable[Contender], repeats: int, say: Say) -> None:
        self.contenders = list(contenders)
        self.repeats = repeats
        self.say = say
        self.samples: dict[tuple[str, str], list[float]] = {}
        self.notes: list[str] = []
        self.processes: dict[str, MeasuredProcess] = {}

    def run(self, measures: Sequence[Measure]) -> None:
        """Fresh measures are taken in a new process for each run, the others in one process for all runs."""
        self.visit("first load (not counted)", self.load)
        fresh = [measure for measure in measures if measure.fresh]
        if fresh:
            self.repeat("a session in a new process", partial(self.take_fresh, measures=fresh))
        rest = [measure for measure in measures if not measure.fresh]
        if not rest:
            return
        with ExitStack() as stack:
            self.visit("starting", lambda contender: self.keep(contender, stack, rest[0]))
            for measure in rest:
                self.repeat(measure.name, partial(self.take, measure=measure))

    def load(self, contender: Contender) -> None:
        """Converts and caches files, so that later starts are alike."""
        with contender.start():
            pass

    def keep(self, contender: Contender, stack: ExitStack, warming: Measure) -> None:
        self.processes[contender.name] = stack.enter_context(contender.start())
        self.processes[contender.name].take(warming.name, 0)

    def take_fresh(self, contender: Contender, number: int, measures: Sequence[Measure]) -> None:
        """Peak memory is that over all measures: speculative decoding allocates only when it decodes."""
        with contender.start() as process:
            values = {LOAD.name: process.load}
            for measure in measures:
                values |= process.take(measure.name, number)
            values[PEAK.name] = process.peak
        self.add(contender, values)

    def take(self, contender: Contender, number: int, measure: Measure) -> None:
        self.add(contender, self.processes[contender.name].take(measure.name, number))

    def add(self, contender: Contender, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.samples.setdefault((contender.name, name), []).append(value)

    def repeat(self, step: str, act: Round) -> None:
        for number in range(1, self.repeats + 1):
            self.visit(step, partial(act, number=number), number)

    def visit(self, step: str, act: Callable[[Contender], None], number: int = 0) -> None:
        """All contenders one after the other, except those that have had enough runs."""
        for contender in [each for each in self.contenders if number <= each.most]:
            self.say(f"{step}: {contender.name}" + (f", run {number} of {self.repeats}" if number else ""))
            try:
                act(contender)
            except MtchatError as error:
                if contender is self.contenders[0]:
                    raise
                self.contenders.remove(contender)
                self.notes.append(f"{contender.name} failed and was dropped: {error}")


class BackgroundLoad:
    """How much CPU time other programs take from now on; our own processes do not count once waited for."""

    def __init__(
        self,
        stat: Path = STAT,
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = lambda: sum(os.times()[:4]),
    ) -> None:
        self.stat = stat
        self.clock = clock
        self.own = own
        self.began, self.before = clock(), self.others()

    def others(self) -> float:
        """CPU seconds of other programs."""
        return cpu_seconds(self.stat) - self.own()

    def note(self) -> str:
        """A warning; "" if the load was low or is unknown."""
        share = (self.others() - self.before) / (self.clock() - self.began) / (os.cpu_count() or 1)
        if share < NOTICEABLE:
            return ""
        return f"other programs used {100 * share:.0f} % of the CPU during the run: times are unreliable"


def cpu_seconds(stat: Path) -> float:
    """CPU seconds of all programs since the machine started; 0 if the system does not count them."""
    try:
        fields = stat.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    return sum(int(fields[place]) for place in BUSY) / os.sysconf("SC_CLK_TCK")
