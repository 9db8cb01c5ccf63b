"""The model suite of mtchat bench speed: our engine and its peers on the same model, threads and texts."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path

from mtchat.bench.output import Say
from mtchat.bench.speed.comparison import LOAD, PEAK, BackgroundLoad, Comparison, Contender
from mtchat.bench.speed.engine import OURS, EngineSetup, Peer, Sizes, find_peer
from mtchat.bench.speed.measures import MEASURES, Measure, quantities
from mtchat.bench.speed.process import WorkloadRequest, start_engine
from mtchat.bench.speed.results import Measurement, collect, legend, table
from mtchat.bench.speed.workload import Workload
from mtchat.version import __version__

CPU = Path("/proc/cpuinfo")
QUANTITIES = (LOAD, *quantities(MEASURES), PEAK)


@dataclass(frozen=True)
class SelectedPeers:
    """The peers to measure by their full names, and a note for each that cannot be measured here."""

    peers: Mapping[str, Peer]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelReport:
    """The measurements, and all that is said about how they were made."""

    rows: list[Measurement]
    title: str
    repeats: int
    engines: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        ours, *others = self.engines
        runs = "one run" if self.repeats == 1 else f"medians of up to {self.repeats} runs (min–max)"
        factor = "; × is the factor by which mtchat is better" if others else ""
        head = "\n".join([f"{ours}; {self.title}", *others, runs + factor])
        notes = "".join(f"\nnote: {note}" for note in self.notes)
        return f"{head}\n\n{table(self.rows, QUANTITIES)}\n{legend(self.rows, QUANTITIES)}{notes}"


def find_peers(names: str, file: str) -> SelectedPeers:
    """The peers in a comma-separated list that can measure a model file here."""
    peers: dict[str, Peer] = {}
    notes = []
    for name in filter(None, (each.strip() for each in names.split(","))):
        peer = find_peer(name)
        if why := peer.missing(file):
            notes.append(f"{peer.TITLE} is not measured: {why}")
        else:
            peers[peer.TITLE] = peer
    return SelectedPeers(peers, tuple(notes))


def compare(
    setup: EngineSetup,
    precision: str,
    against: SelectedPeers,
    workload: Workload,
    sizes: Sizes,
    repeats: int,
    command: Sequence[str],
    say: Say,
    measures: Sequence[Measure] = MEASURES,
) -> ModelReport:
    """Measure our engine, which computes in `precision`, and its peers.

    `command` starts a measured process, given a setup as JSON.
    """
    load = BackgroundLoad()
    notes = list(against.notes)
    if not workload.steps:
        notes.append("no recorded sessions found, so sessions are not measured; use --sessions DIR")
    most = {name: peer.MOST for name, peer in against.peers.items()}
    work = json.dumps(asdict(WorkloadRequest(workload, sizes)))
    comparison = Comparison(contenders(setup, most, command, work), repeats, say)
    comparison.run(measures)
    notes += filter(None, [*comparison.notes, load.note()])
    return ModelReport(
        collect(comparison.samples, QUANTITIES, (OURS, *against.peers), setup.model),
        f"{setup.model}, {processor()}, {setup.threads} threads, {date.today()}",
        repeats,
        (f"mtchat {__version__}, {precision}", *(peer.version() for peer in against.peers.values())),
        tuple(notes),
    )


def contenders(
    setup: EngineSetup, most: Mapping[str, int], command: Sequence[str], work: str
) -> Iterator[Contender]:
    """Ours and the peers, all with the same number of threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(setup.threads)}
    for name in (OURS, *most):
        given = json.dumps(asdict(replace(setup, engine=name)))
        start = partial(start_engine, (*command, given), environment, work)
        yield Contender(name, start, most[name]) if name in most else Contender(name, start)


def processor() -> str:
    """The name of the CPU, or of its architecture if the system does not say."""
    try:
        lines = CPU.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
