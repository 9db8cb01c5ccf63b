"""The model and the sandboxes with which a process holds the conversations of a benchmark."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mtchat.bench.quality import suite as suites
from mtchat.bench.quality.answer_cache import AnswerCache
from mtchat.bench.quality.evaluate import Evaluation, Runners, TimeLimit
from mtchat.bench.quality.score_cache import ScoreCache
from mtchat.bench.quality.sets import DataSet
from mtchat.bench.quality.suite import MULTI, Task
from mtchat.bench.quality.ways import Way
from mtchat.console.view import View
from mtchat.models import loader
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, Program
from mtchat.session.settings import OFF, ON, Limits, Settings

if TYPE_CHECKING:
    from mtchat.inference.batching import Batcher

LIMITS = Limits(seconds=10.0)
CONCURRENCY = {"cpu": 8, "cuda": 256}


@dataclass(frozen=True)
class PlannedSet:
    """The conversations of a set that are held in one way."""

    dataset: DataSet
    way: Way
    tasks: Sequence[Task]


@dataclass(frozen=True)
class OpenModel:
    """A model in this process, and what it takes to hold conversations with it."""

    args: argparse.Namespace
    batcher: "Batcher"
    device: str

    def holders(self, planned: Sequence[PlannedSet], limit: TimeLimit) -> Iterator[Evaluation]:
        """What holds the conversations of each set in its way; they share what the model says."""
        model = AnswerCache(self.batcher)
        caches = {each.dataset.name: ScoreCache(suites.load(each.dataset.suite).score) for each in planned}
        for each in planned:
            settings = each.way.apply(settings_of(self.args, understands(self.args, each.way)))
            scoring = caches[each.dataset.name]
            yield Evaluation(scoring, model, settings, self.args.family, each.way.ask, limit)


@contextmanager
def open_model(args: argparse.Namespace, view: View) -> Iterator[OpenModel]:
    batcher, device = load_batcher(args, view)
    try:
        yield OpenModel(args, batcher, device)
    finally:
        batcher.close()


def understands(args: argparse.Namespace, way: Way) -> bool:
    """Whether instructions may be changes of earlier turns."""
    return bool(args.understanding and way.mode == MULTI)


def settings_of(args: argparse.Namespace, understanding: bool) -> Settings:
    return Settings(
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
        seconds=LIMITS.seconds,
        run=ON if args.run else OFF,
        corrections=understanding,
    )


def load_batcher(args: argparse.Namespace, view: View) -> "tuple[Batcher, str]":
    """The model, for many conversations at once, and its device."""
    from mtchat.inference import batching
    from mtchat.inference.loaders import devices

    device = devices.choose_device(args.device, args.precision)
    engine: Any = loader.load(
        args.model, args.precision, lambda stage: view.transient(f"{args.model}: {stage}"), device
    )
    view.erase()
    concurrency = max(1, (args.concurrency or CONCURRENCY[device]) // args.processes)
    if device == "cpu":
        return batching.start_batcher(engine, concurrency), device
    if engine.scheduler:
        return batching.Batcher(engine, engine.scheduler), device
    from mtchat.inference.hf import padded_scheduler

    return padded_scheduler.start_padded_batcher(engine, 2 * concurrency), device


class SandboxPool:
    """Sandboxes for conversations that go on at the same time; one that is free is used for the next.

    Between them the states of the last program are ended, so that they take no memory and need no watching.
    """

    def __init__(self, unsafe: bool) -> None:
        self.unsafe = unsafe
        self.free: SimpleQueue[Sandbox] = SimpleQueue()

    def __enter__(self) -> "SandboxPool":
        return self

    def __exit__(self, *failure: object) -> None:
        while sandbox := self.take():
            sandbox.close()

    def take(self) -> Sandbox | None:
        try:
            return self.free.get_nowait()
        except Empty:
            return None

    @contextmanager
    def runners(self) -> Iterator[Runners]:
        """How the programs of one conversation run."""
        sandbox = self.take() or Sandbox(self.unsafe)

        def run(program: Program) -> Outcome:
            return sandbox.trial(program, LIMITS, NO_INPUTS)

        def judge(program: Program) -> Outcome:
            return sandbox.run(program, LIMITS, None)

        try:
            yield Runners(run, judge)
        finally:
            sandbox.forget_programs()
            self.free.put(sandbox)
