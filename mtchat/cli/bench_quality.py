"""mtchat bench mtpb and its like: holds a benchmark's conversations, and scores their programs."""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mtchat.bench.quality import suite as suites
from mtchat.bench.quality.conversation import Bench, hold
from mtchat.bench.quality.remembered import Remembered
from mtchat.bench.quality.runs import Header, Writer
from mtchat.bench.quality.suite import Row, Task
from mtchat.console.view import View
from mtchat.errors import SandboxError, UsageError
from mtchat.generate import policy
from mtchat.generate.prompt import family
from mtchat.generate.synthesizer import TurnGenerator
from mtchat.models import loader
from mtchat.sandbox.runner import Sandbox
from mtchat.session.given import NO_INPUTS
from mtchat.session.settings import Limits, Sampling
from mtchat.version import __version__

if TYPE_CHECKING:
    from mtchat.inference.batching import Batcher

LIMITS = Limits(seconds=10.0)
LANES = {"cpu": 8, "cuda": 256}


def bench_quality(args: argparse.Namespace) -> None:
    """Goes on with the run's file where it is there, and prints what the run came to."""
    check(args)
    suite = suites.load(args.what)
    mode = args.mode or suite.MODES[0]
    if mode not in suite.MODES:
        raise UsageError(f"--mode of {args.what} is {' or '.join(suite.MODES)}, not {mode!r}")
    chosen = policy.load(args.policy)
    tasks = first(suite.tasks(args.data, mode), args.limit, args.inputs)
    sampling = Sampling(args.temperature, args.top_p, seed=args.seed)
    view = View.of(sys.stderr)
    if refusal := Sandbox(args.unsafe).refusal():
        raise SandboxError(f"nothing can be run here: {refusal}")
    batcher, device = served(args, view)
    try:
        card = batcher.card
        kind = args.family or family.choose(card)
        header = Header(
            suite=args.what,
            model=card.name,
            fingerprint=card.fingerprint,
            precision=card.precision,
            device=device,
            mode=mode,
            policy=args.policy,
            temperature=args.temperature,
            top_p=args.top_p,
            samples=args.n,
            seed=args.seed,
            version=__version__,
            tasks=len(tasks),
            data_sha256=digest(tasks),
            ask=args.ask,
        )
        bench = Bench(
            Remembered(suite.score),
            lambda run: TurnGenerator(
                family.load(kind),
                batcher.complete,
                run if args.run else None,
                card,
                kind,
                policy=chosen,
                candidates=batcher.candidates,
                count=batcher.count,
            ),
            sampling,
            args.ask,
        )
        out = args.out or Path(f"{args.what}-{card.name}-{mode}-{args.policy}.jsonl".replace("/", "-"))
        with Writer(out, header) as writer:
            lanes = args.lanes or LANES[device]
            work(bench, tasks, args.n, writer, lambda: Sandbox(args.unsafe), lanes, view)
    finally:
        batcher.close()
    from mtchat.bench.quality.report import summary
    from mtchat.bench.quality.runs import read

    print(summary(read(out)))


def work(
    bench: Bench,
    tasks: list[Task],
    samples: int,
    writer: Writer,
    place: Callable[[], Sandbox],
    lanes: int,
    view: View,
) -> None:
    """Hold the conversations that the file lacks, so many at once; each is written when it is scored.

    Each is given a place of its own to run its programs, which keeps their states while it lasts.
    """
    done = {(row.problem, row.input, row.sample) for row in writer.rows}
    left = [
        (task, sample)
        for sample in range(samples)
        for task in tasks
        if (task.problem, task.input, sample) not in done
    ]
    progress = Progress(len(left), view)

    def one(task: Task, sample: int) -> Row:
        with place() as ground:
            return hold(
                bench,
                task,
                sample,
                lambda program: ground.trial(program, LIMITS, NO_INPUTS),
                lambda program: ground.run(program, LIMITS, None),
            )

    def keep(row: Row) -> None:
        writer.append(row)
        progress.add(row)

    pool = ThreadPoolExecutor(lanes)
    ended: SimpleQueue[Future[Row]] = SimpleQueue()  # `wait` goes through all that are going each time
    try:
        for task, sample in left:
            pool.submit(one, task, sample).add_done_callback(ended.put)
        for _ in left:
            keep(ended.get().result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Empty):
            while True:
                each = ended.get_nowait()
                if not each.cancelled() and each.exception() is None:  # what is done is kept
                    keep(each.result())
        raise
    finally:
        progress.end()
    pool.shutdown()


class Progress:
    """How far a run has come: a moving line in a terminal, else a line now and then."""

    def __init__(self, count: int, view: View) -> None:
        self.count, self.view = count, view
        self.began = self.told = time.monotonic()
        self.ended = self.passed = 0

    def add(self, row: Row) -> None:
        self.ended += 1
        self.passed += row.compatible
        now = time.monotonic()
        left = (now - self.began) / self.ended * (self.count - self.ended)
        text = (
            f"{self.ended} of {self.count} conversations, {100 * self.passed / self.ended:.1f} % pass, "
            f"{duration(left)} left"
        )
        if self.view.live:
            self.view.transient(text)
        elif now - self.told > 30 or self.ended == self.count:
            self.told = now
            self.view.line(text)

    def end(self) -> None:
        self.view.erase()


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def check(args: argparse.Namespace) -> None:
    """What would fail late fails now."""
    counts = (args.n, args.limit, args.inputs, args.lanes)
    if any(count is not None and count < 1 for count in counts):
        raise UsageError("--n, --limit, --inputs and --lanes are 1 or more")
    if args.n > 1 and args.temperature == 0:
        raise UsageError("--n samples differ only with a --temperature above 0")
    if args.out and not os.path.isdir(args.out.absolute().parent):
        raise UsageError(f"no folder {args.out.absolute().parent} to write {args.out.name} to")


def first(tasks: "suites.Tasks", limit: int | None, inputs: int | None) -> list[Task]:
    """The conversations of the first so many problems, with the first so many of their inputs."""
    names = list(dict.fromkeys(task.problem for task in tasks))[:limit]
    return [task for task in tasks if task.problem in names and (inputs is None or task.input < inputs)]


def digest(tasks: list[Task]) -> str:
    """A SHA-256 of what is asked and wanted."""
    text = json.dumps(
        [[task.problem, task.input, task.instructions, task.prompt, task.facts] for task in tasks]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def served(args: argparse.Namespace, view: View) -> "tuple[Batcher, str]":
    """The model, for many conversations at once, and where it computes."""
    from mtchat.inference import batching
    from mtchat.inference.loaders import devices

    device = devices.chosen(args.device, args.precision)
    engine: Any = loader.load(
        args.model, args.precision, lambda stage: view.transient(f"{args.model}: {stage}"), device
    )
    view.erase()
    if device == "cpu":
        return batching.serving(engine, args.lanes or LANES[device]), device
    if engine.writers:
        return batching.Batcher(engine, engine.writers), device
    from mtchat.inference.hf import padded_scheduler

    return padded_scheduler.serving(engine, 2 * (args.lanes or LANES[device])), device
