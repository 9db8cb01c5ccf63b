"""Measures engines against each other in one run: each in processes of its own, in turn, several times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.errors import MtchatError

LOADING, MEMORY = "loading", "memory of a process"
FRESH = "a session in a new process"
LOAD = Quantity("load", "s", LOADING, "from the start of a process to an engine that can write", less=True)
PEAK = Quantity(
    "peak_memory", "MiB", MEMORY, "the most that a process held over 20 turns and some replies", less=True
)


class Running(Protocol):
    """An engine in a process that took `load` seconds to start, and has held `peak` MiB at most."""

    @property
    def load(self) -> float: ...

    @property
    def peak(self) -> float: ...

    def take(self, measure: str, number: int) -> Mapping[str, float]: ...


class Act(Protocol):
    """What is done with each contender in a round."""

    def __call__(self, contender: "Contender", number: int) -> None: ...


@dataclass(frozen=True)
class Contender:
    """An engine by its name, how a process of it is started, and the most runs that are worth their time."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]
    most: int = 1000


class Contest:
    """Measures all contenders. The first is ours; any other that fails is left out from there on."""

    def __init__(self, contenders: Iterable[Contender], repeats: int, say: Callable[[str], None]) -> None:
        self.contenders = list(contenders)
        self.repeats = repeats
        self.say = say
        self.samples: dict[tuple[str, str], list[float]] = {}
        self.notes: list[str] = []
        self.lasting: dict[str, Running] = {}

    def hold(self, measures: Sequence[Measure]) -> None:
        """Fresh measures are taken in a new process for each run, the others in one for all runs."""
        self.round("loading once, which does not count", self.load)
        fresh = [measure for measure in measures if measure.fresh]
        if fresh:
            self.rounds(FRESH, partial(self.anew, measures=fresh))
        lasting = [measure for measure in measures if not measure.fresh]
        with ExitStack() as stack:
            self.round("starting", lambda contender: self.stay(contender, stack, lasting[0]))
            for measure in lasting:
                self.rounds(measure.name, partial(self.again, measure=measure))

    def load(self, contender: Contender) -> None:
        """Files are then converted and at hand."""
        with contender.start():
            pass

    def stay(self, contender: Contender, stack: ExitStack, warming: Measure) -> None:
        self.lasting[contender.name] = stack.enter_context(contender.start())
        self.lasting[contender.name].take(warming.name, 0)

    def anew(self, contender: Contender, number: int, measures: Sequence[Measure]) -> None:
        """The memory is that of all measures: guesses take theirs only where something is written."""
        with contender.start() as running:
            values = {LOAD.name: running.load}
            for measure in measures:
                values |= running.take(measure.name, number)
            values[PEAK.name] = running.peak
        self.add(contender, values)

    def again(self, contender: Contender, number: int, measure: Measure) -> None:
        self.add(contender, self.lasting[contender.name].take(measure.name, number))

    def add(self, contender: Contender, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.samples.setdefault((contender.name, name), []).append(value)

    def rounds(self, what: str, act: Act) -> None:
        for number in range(1, self.repeats + 1):
            self.round(what, partial(act, number=number), number)

    def round(self, what: str, act: Callable[[Contender], None], number: int = 0) -> None:
        """All contenders one after the other, but for those that have had enough runs."""
        for contender in [each for each in self.contenders if number <= each.most]:
            self.say(f"{what}: {contender.name}" + (f", run {number} of {self.repeats}" if number else ""))
            try:
                act(contender)
            except MtchatError as error:
                if contender is self.contenders[0]:
                    raise
                self.contenders.remove(contender)
                self.notes.append(f"{contender.name} is left out from here on: {error}")
