"""mtchat bench for code quality: plans the runs of a command, holds their conversations, and prints them."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from mtchat.bench.output import check_targets, save
from mtchat.bench.quality import suite as suites
from mtchat.bench.quality.chart import chart
from mtchat.bench.quality.evaluate import ENDLESS, TimeLimit
from mtchat.bench.quality.folds import format_folds
from mtchat.bench.quality.pool import Holder, PlannedRun, evaluate, hash_tasks, select_tasks
from mtchat.bench.quality.report import comparison, summary, to_json
from mtchat.bench.quality.run_file import RecordedRun, RunFile, RunHeader, read
from mtchat.bench.quality.sets import DataSet, find_sets, name_set
from mtchat.bench.quality.table import describe_way, format_table
from mtchat.bench.quality.ways import Way, in_modes, parse_ways, short_name
from mtchat.cli.bench_model import CONCURRENCY, PlannedSet, SandboxPool, open_model, understands
from mtchat.cli.bench_workers import Loaded, RemoteHolder, start_workers
from mtchat.console.view import View
from mtchat.errors import SandboxError, UsageError
from mtchat.sandbox.sandbox import Sandbox
from mtchat.version import __version__

GRACE = 40.0  # seconds before the end in which no conversation begins
SHARE = 0.1  # of a short time that is grace

Place = Callable[[DataSet, Way, str], Path]


def measure_suite(args: argparse.Namespace) -> None:
    """Run the conversations that the results files lack, and print their summary or comparison."""
    check_counts(args)
    suite = suites.load(args.what)
    chosen = parse_ways(args.policy, args.mode, args.ask)
    for each in chosen:
        if each.mode and each.mode not in suite.MODES:
            raise UsageError(f"--mode of {args.what} is {' or '.join(suite.MODES)}, not {each.mode!r}")
    ways = in_modes(chosen, suite)

    def place(dataset: DataSet, way: Way, model: str) -> Path:
        if args.out:
            return args.out if len(ways) == 1 else name_file(args.out, short_name(way, suite))
        return Path(f"{args.what}-{model}-{way.name}.jsonl".replace("/", "-"))

    dataset = DataSet(name_set(args.data) if args.data else args.what, args.what, args.data)
    runs = hold_all(args, [dataset], ways, place)
    print(summary(runs[0]) if len(runs) == 1 else comparison(runs))


def measure_table(args: argparse.Namespace) -> None:
    """Hold the conversations of all sets in a folder in every way, and print the table of their rates."""
    check_counts(args)
    sets = find_sets(args.data, [name.strip() for name in args.sets.split(",") if name.strip()])
    ways = parse_ways(args.policy)

    def place(dataset: DataSet, way: Way, model: str) -> Path:
        args.out.mkdir(exist_ok=True)
        name = short_name(way, suites.load(dataset.suite))
        return Path(args.out, f"{model}-{dataset.name}-{name}.jsonl".replace("/", "-"))

    print(format_table(hold_all(args, sets, ways, place)), end="")


def print_report(args: argparse.Namespace) -> None:
    """Print one run in full, or several as a table; write figures and a plot to files if asked."""
    check_targets(args.json, args.plot)
    runs = [read(path) for path in args.runs]
    if args.folds is not None and args.folds < 2:
        raise UsageError("--folds must be at least 2")
    if args.baseline and args.baseline not in map(describe_way, (run.header for run in runs)):
        ways = ", ".join(dict.fromkeys(describe_way(run.header) for run in runs))
        raise UsageError(f"no run is of the way {args.baseline!r}; the ways are: {ways}")
    if args.folds:
        print(format_folds(runs, args.folds, args.baseline), end="")
    elif args.table:
        print(format_table(runs, args.baseline), end="")
    else:
        print(summary(runs[0]) if len(runs) == 1 else comparison(runs), end="")
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(runs), "utf-8"))
    if args.plot:
        save(args.plot, lambda path: chart(runs, path, f"mtchat {__version__}, {date.today()}"))


def name_file(out: Path, way: str) -> Path:
    """The results file of one of several ways: run.jsonl becomes run-plain.jsonl."""
    return out.with_name(f"{out.stem}-{way}{out.suffix}")


def hold_all(
    args: argparse.Namespace, sets: Sequence[DataSet], ways: Sequence[Way], place: Place
) -> list[RecordedRun]:
    """Hold the conversations of sets in each way that they have, with one model; the runs in that order."""
    limit = limit_time(args.minutes)
    planned = list(plan(args, sets, ways))
    view = View.of(sys.stderr)
    if refusal := Sandbox(args.unsafe).unavailable_reason():
        raise SandboxError(f"no program can be run here: {refusal}")
    with ExitStack() as stack:
        holders: Sequence[Holder]
        if args.processes > 1:
            workers = stack.enter_context(start_workers(args, planned, limit))
            loaded = workers[0].loaded
            holders = [RemoteHolder(workers, at, each.tasks) for at, each in enumerate(planned)]
        else:
            model = stack.enter_context(open_model(args, view))
            loaded = Loaded(model.batcher.card, model.device)
            holders = list(model.holders(planned, limit))
        runs = []
        for each, holder in zip(planned, holders, strict=True):
            header = make_header(args, loaded, each)
            file = stack.enter_context(RunFile(place(each.dataset, each.way, loaded.card.name), header))
            runs.append(PlannedRun(holder, each.tasks, args.n, file))
        sandboxes = stack.enter_context(SandboxPool(args.unsafe))
        evaluate(runs, sandboxes.runners, args.concurrency or CONCURRENCY[loaded.device], view)
    return [read(run.file.path) for run in runs]


def plan(args: argparse.Namespace, sets: Sequence[DataSet], ways: Sequence[Way]) -> Iterator[PlannedSet]:
    """The conversations of each set in each way that it has."""
    for dataset in sets:
        suite = suites.load(dataset.suite)
        for way in in_modes(ways, suite):
            tasks = suite.tasks(dataset.path, way.mode)
            yield PlannedSet(dataset, way, select_tasks(tasks, args.limit, args.inputs))


def limit_time(minutes: float | None) -> TimeLimit:
    """The time that a command has from now on."""
    if minutes is None:
        return ENDLESS
    now, seconds = time.monotonic(), 60 * minutes
    return TimeLimit(now + seconds - min(GRACE, SHARE * seconds), now + seconds)


def make_header(args: argparse.Namespace, loaded: Loaded, planned: PlannedSet) -> RunHeader:
    card, dataset, way = loaded.card, planned.dataset, planned.way
    return RunHeader(
        suite=dataset.suite,
        model=card.name,
        fingerprint=card.fingerprint,
        precision=card.precision,
        device=loaded.device,
        mode=way.mode,
        policy=way.policy,
        temperature=args.temperature,
        top_p=args.top_p,
        samples=args.n,
        seed=args.seed,
        version=__version__,
        tasks=len(planned.tasks),
        data_sha256=hash_tasks(planned.tasks),
        ask=way.ask,
        understanding=understands(args, way),
        variation=way.variation,
        dataset=dataset.name,
    )


def check_counts(args: argparse.Namespace) -> None:
    """Raise UsageError for options that would fail only after the model is loaded."""
    counts = (args.n, args.limit, args.inputs, args.concurrency, args.processes)
    if any(count is not None and count < 1 for count in counts):
        raise UsageError("--n, --limit, --inputs, --concurrency and --processes must be at least 1")
    if args.minutes is not None and not args.minutes > 0:
        raise UsageError("--minutes must be more than 0")
    if args.n > 1 and args.temperature == 0:
        raise UsageError("--n above 1 needs a --temperature above 0: greedy samples are all the same")
    if args.out and not os.path.isdir(args.out.absolute().parent):
        raise UsageError(f"cannot write {args.out.name}: no folder {args.out.absolute().parent}")
