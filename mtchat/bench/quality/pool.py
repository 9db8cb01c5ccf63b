"""Holds the conversations of several runs in one pool, so that the model's batch stays full.

Each conversation is written to the results file of its run once it is scored.
"""

import contextlib
import hashlib
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from mtchat.bench.quality.evaluate import OpenRunners
from mtchat.bench.quality.run_file import RunFile
from mtchat.bench.quality.suite import ScoredSample, Task
from mtchat.console.view import View
from mtchat.errors import MtchatError

CRASH = "crash"
SWITCH_SECONDS = 0.0005  # with Python's 5 ms the thread of the batch waits longer than a GPU computes
MOST_CRASHES = 20  # beyond this the fault is not one odd conversation: the benchmark ends


class Holder(Protocol):
    """What holds the conversations of a run: this process, or others."""

    def hold(self, task: Task, sample: int, runners: OpenRunners) -> ScoredSample | None:
        """One conversation, held and scored; None if the time is over."""


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be made or finished: what holds its conversations, these, and its file."""

    evaluation: Holder
    tasks: Sequence[Task]
    samples: int
    file: RunFile


@dataclass(frozen=True)
class PlannedConversation:
    """One conversation of a run: a sample of a task."""

    run: PlannedRun
    task: Task
    sample: int


@dataclass
class Crashes:
    """Conversations that ended in an error of mtchat itself; the first of each kind is shown in full."""

    view: View
    count: int = 0
    seen: set[str] = field(default_factory=set)

    def record(self, planned: PlannedConversation, error: Exception) -> ScoredSample:
        """The row of such a conversation, which does not pass: its user would have no program either."""
        self.count += 1
        if self.count > MOST_CRASHES:
            raise error
        task, name = planned.task, type(error).__name__
        if name not in self.seen:
            self.seen.add(name)
            self.view.line(f"problem {task.problem} ended in an error of mtchat; it counts as failed:")
            for line in "".join(traceback.format_exception(error)).splitlines():
                self.view.line(line)
        turns = len(task.instructions)
        kind = f"{CRASH} {name}"
        return ScoredSample(
            task.problem, task.input, planned.sample, task.category, turns, (), "", error=kind
        )


def evaluate(
    runs: Sequence[PlannedRun],
    runners: OpenRunners,
    concurrency: int,
    view: View,
) -> None:
    """Hold the conversations that the files lack, each with its own sandbox, until the time is over."""
    left = order_conversations(runs)
    progress, crashes = EvaluationProgress(len(left), view), Crashes(view)

    def hold(planned: PlannedConversation) -> tuple[PlannedConversation, ScoredSample | Exception | None]:
        try:
            return planned, planned.run.evaluation.hold(planned.task, planned.sample, runners)
        except MtchatError:
            raise
        except Exception as error:  # one odd conversation must not cost all others
            return planned, error

    def keep(planned: PlannedConversation, made: ScoredSample | Exception | None) -> None:
        if made is None:
            return
        row = crashes.record(planned, made) if isinstance(made, Exception) else made
        planned.run.file.append(row)
        progress.add(row)

    pool, usual = ThreadPoolExecutor(concurrency), sys.getswitchinterval()
    ended: SimpleQueue[Future[tuple[PlannedConversation, ScoredSample | Exception | None]]] = (
        SimpleQueue()  # futures.wait would scan all of them each time
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        for planned in left:
            pool.submit(hold, planned).add_done_callback(ended.put)
        for _ in left:
            keep(*ended.get().result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Empty):
            while True:
                each = ended.get_nowait()
                if not each.cancelled() and each.exception() is None:  # keep what is finished
                    planned, made = each.result()
                    if isinstance(made, ScoredSample):
                        keep(planned, made)
        raise
    finally:
        sys.setswitchinterval(usual)
        progress.end()
    pool.shutdown()


def order_conversations(runs: Sequence[PlannedRun]) -> list[PlannedConversation]:
    """The conversations that the files lack, ordered so that runs stay comparable whenever the time runs out.

    The first inputs of all problems come first; sets advance in proportion to their size, and a conversation
    is held with each policy at about the same time.
    """
    places = [
        ((sample, turn, part, number), PlannedConversation(run, task, sample))
        for number, run in enumerate(runs)
        for sample in range(run.samples)
        for turn, part, task in place_tasks(run.tasks)
    ]
    done = {id(run): {(row.problem, row.input, row.sample) for row in run.file.rows} for run in runs}
    return [
        planned
        for _, planned in sorted(places, key=lambda each: each[0])
        if (planned.task.problem, planned.task.input, planned.sample) not in done[id(planned.run)]
    ]


def place_tasks(tasks: Sequence[Task]) -> Iterator[tuple[int, float, Task]]:
    """Each task with the place of its input among those of its problem, and of its problem among all."""
    turns: dict[str, int] = {}
    problems = {name: at for at, name in enumerate(dict.fromkeys(task.problem for task in tasks))}
    for task in tasks:
        turn = turns[task.problem] = turns.get(task.problem, -1) + 1
        yield turn, problems[task.problem] / len(problems), task


class EvaluationProgress:
    """How many conversations are done: a moving line in a terminal, else a line every half minute."""

    def __init__(self, count: int, view: View) -> None:
        self.count, self.view = count, view
        self.began = self.reported = time.monotonic()
        self.ended = self.passed = 0

    def add(self, row: ScoredSample) -> None:
        self.ended += 1
        self.passed += row.compatible
        now = time.monotonic()
        left = (now - self.began) / self.ended * (self.count - self.ended)
        text = (
            f"{self.ended} of {self.count} conversations, {100 * self.passed / self.ended:.1f} % pass, "
            f"{format_duration(left)} left"
        )
        if self.view.live:
            self.view.transient(text)
        elif now - self.reported > 30 or self.ended == self.count:
            self.reported = now
            self.view.line(text)

    def end(self) -> None:
        self.view.erase()


def format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def select_tasks(tasks: Sequence[Task], limit: int | None, inputs: int | None) -> list[Task]:
    """The conversations of the first `limit` problems, with their first `inputs` inputs."""
    names = list(dict.fromkeys(task.problem for task in tasks))[:limit]
    return [task for task in tasks if task.problem in names and (inputs is None or task.input < inputs)]


def hash_tasks(tasks: Sequence[Task]) -> str:
    """A SHA-256 of all instructions and wanted values."""
    text = json.dumps(
        [[task.problem, task.input, task.instructions, task.prompt, task.facts] for task in tasks]
    )
    return hashlib.sha256(text.encode()).hexdigest()
