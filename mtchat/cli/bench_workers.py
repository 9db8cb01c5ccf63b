"""Several processes that hold the conversations of a benchmark, each with the model in its own memory.

One process feeds a GPU badly: its threads take turns at reading what the model writes, so a batch waits.
"""

import argparse
import io
import multiprocessing
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from mtchat.bench.quality.evaluate import OpenRunners, TimeLimit
from mtchat.bench.quality.pool import SWITCH_SECONDS
from mtchat.bench.quality.suite import ScoredSample, Task
from mtchat.cli.bench_model import CONCURRENCY, PlannedSet, SandboxPool, open_model
from mtchat.console.view import View
from mtchat.errors import MtchatError
from mtchat.session.prompt import ModelCard

ENDED = "a process of the benchmark ended; the same command resumes"


@dataclass(frozen=True)
class Loaded:
    """The model that the processes have, and the device that it is on."""

    card: ModelCard
    device: str


@dataclass(frozen=True)
class WorkerFailure:
    """An error in a worker: its kind, and its traceback or, if the user can act, its message."""

    kind: str
    text: str
    can_act: bool

    @classmethod
    def of(cls, error: Exception) -> "WorkerFailure":
        can_act = isinstance(error, MtchatError)
        text = str(error) if can_act else "".join(traceback.format_exception(error))
        return cls(type(error).__name__, text, can_act)

    def error(self) -> Exception:
        """The error to raise in the first process; that of a fault of ours is named as it was there."""
        if self.can_act:
            return MtchatError(self.text)
        kind: type[Exception] = type(self.kind, (RuntimeError,), {})
        return kind(self.text)


class BenchWorker:
    """One process, and the conversations that were given to it."""

    def __init__(self, args: argparse.Namespace, planned: Sequence[PlannedSet], limit: TimeLimit) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve, args=(args, planned, limit, theirs), daemon=True
        )
        self.process.start()
        theirs.close()
        self.waiting: dict[int, Future[ScoredSample | None]] = {}
        self.lock = threading.Lock()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.jobs = 0
        self.ended = False

    @cached_property
    def loaded(self) -> Loaded:
        """The model, once it is there; raises what its loading raised."""
        try:
            loaded = self.connection.recv()
        except EOFError:
            raise MtchatError("a process of the benchmark ended while it loaded the model") from None
        if isinstance(loaded, Exception):
            raise loaded
        assert isinstance(loaded, Loaded)
        self.reader.start()
        return loaded

    def read(self) -> None:
        """Hand each answer to the thread that waits for it, until the process ends."""
        try:
            with suppress(EOFError, OSError):
                while True:
                    number, made = self.connection.recv()
                    with self.lock:
                        future = self.waiting.pop(number)
                    if isinstance(made, WorkerFailure):
                        future.set_exception(made.error())
                    else:
                        future.set_result(made)
        finally:
            with self.lock:
                lost = list(self.waiting.values())
                self.waiting.clear()
                self.ended = True
            for future in lost:
                future.set_exception(MtchatError(ENDED))

    def hold(self, run: int, task: int, sample: int) -> ScoredSample | None:
        future: Future[ScoredSample | None] = Future()
        with self.lock:
            if self.ended:
                raise MtchatError(ENDED)
            self.jobs += 1
            self.waiting[self.jobs] = future
            try:
                self.connection.send((self.jobs, run, task, sample))
            except OSError:
                del self.waiting[self.jobs]
                raise MtchatError(ENDED) from None
        return future.result()

    def end(self) -> None:
        """End the process first: the reader then sees the end of its answers, and nobody waits for more."""
        self.process.terminate()
        self.process.join()
        if self.reader.ident is not None:
            self.reader.join()
        self.connection.close()


@dataclass(frozen=True)
class RemoteHolder:
    """Holds the conversations of one run in the processes; all ways to hold a problem go to the same one.

    There they share what the model says of the same prompts.
    """

    workers: Sequence[BenchWorker]
    run: int
    tasks: Sequence[Task]

    def hold(self, task: Task, sample: int, runners: OpenRunners) -> ScoredSample | None:
        place = next(at for at, each in enumerate(self.tasks) if each is task)
        chosen = sum(task.problem.encode()) + task.input
        return self.workers[chosen % len(self.workers)].hold(self.run, place, sample)


@contextmanager
def start_workers(
    args: argparse.Namespace, planned: Sequence[PlannedSet], limit: TimeLimit
) -> Iterator[Sequence[BenchWorker]]:
    """`args.processes` processes that have loaded the model; they end with the block."""
    workers: list[BenchWorker] = []
    try:
        for _ in range(args.processes):
            workers.append(BenchWorker(args, planned, limit))
        if len({worker.loaded for worker in workers}) > 1:
            raise MtchatError("the processes of the benchmark loaded different models; try it again")
        yield workers
    finally:
        for worker in workers:
            worker.end()


def serve(
    args: argparse.Namespace, planned: Sequence[PlannedSet], limit: TimeLimit, connection: Connection
) -> None:
    """What a process does: load the model, and hold the conversations that come, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it and ends this one
    sending = threading.Lock()

    def answer(message: object) -> None:
        with sending:
            connection.send(message)

    with ExitStack() as stack:
        try:
            model = stack.enter_context(open_model(args, View.of(io.StringIO())))
        except MtchatError as error:
            answer(error)
            return
        answer(Loaded(model.batcher.card, model.device))
        holders = list(model.holders(planned, limit))
        sandboxes = stack.enter_context(SandboxPool(args.unsafe))
        pool = stack.enter_context(ThreadPoolExecutor(args.concurrency or CONCURRENCY[model.device]))

        def hold(number: int, run: int, task: int, sample: int) -> None:
            try:
                made = holders[run].hold(planned[run].tasks[task], sample, sandboxes.runners)
            except Exception as error:
                answer((number, WorkerFailure.of(error)))
            else:
                answer((number, made))

        sys.setswitchinterval(SWITCH_SECONDS)
        with suppress(EOFError):
            while True:
                pool.submit(hold, *connection.recv())
