"""Runs the conversations of a benchmark, several at once; each is written to the results file once scored."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from mtchat.bench.quality.conversation import Evaluation, run_task
from mtchat.bench.quality.run_file import RunFile
from mtchat.bench.quality.suite import ScoredSample, Task
from mtchat.console.view import View
from mtchat.generate.execute import RunProgram


@dataclass(frozen=True)
class Runners:
    """How the programs of one conversation run: those of its turns, and the one that is scored."""

    run: RunProgram
    judge: RunProgram


def evaluate(
    evaluation: Evaluation,
    tasks: Sequence[Task],
    samples: int,
    file: RunFile,
    runners: Callable[[], AbstractContextManager[Runners]],
    concurrency: int,
    view: View,
) -> None:
    """Run the conversations that the file lacks. Each has its own sandbox with its snapshots."""
    done = {(row.problem, row.input, row.sample) for row in file.rows}
    left = [
        (task, sample)
        for sample in range(samples)
        for task in tasks
        if (task.problem, task.input, sample) not in done
    ]
    progress = EvaluationProgress(len(left), view)

    def run_one(task: Task, sample: int) -> ScoredSample:
        with runners() as how:
            return run_task(evaluation, task, sample, how.run, how.judge)

    def keep(row: ScoredSample) -> None:
        file.append(row)
        progress.add(row)

    pool = ThreadPoolExecutor(concurrency)
    ended: SimpleQueue[Future[ScoredSample]] = SimpleQueue()  # futures.wait would scan all of them each time
    try:
        for task, sample in left:
            pool.submit(run_one, task, sample).add_done_callback(ended.put)
        for _ in left:
            keep(ended.get().result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Empty):
            while True:
                each = ended.get_nowait()
                if not each.cancelled() and each.exception() is None:  # keep what is finished
                    keep(each.result())
        raise
    finally:
        progress.end()
    pool.shutdown()


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
