"""Conversations of several runs in one pool: comparable wherever the time ends, and none lost to a crash."""

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.bench.quality.evaluate import ENDLESS, Evaluation, OverTimeError, Runners, TimeLimit, run_task
from mtchat.bench.quality.pool import (
    MOST_CRASHES,
    PlannedRun,
    evaluate,
    order_conversations,
    select_tasks,
)
from mtchat.bench.quality.run_file import RunFile, RunHeader, read
from mtchat.bench.quality.suite import Score, ScoredSample, Task
from mtchat.console.view import View
from mtchat.generate.execute import RunProgram
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Sampling, Settings
from mtchat.testing import FakeModel
from tests.support.generate import run as run_here

HEADER = RunHeader(
    *("mtpb", "fake", "f", "float32", "cpu", "multi", "plain", 0.0, 0.95, 1, 0, "0", 3, "d"),
)
MODEL = FakeModel({"set x": "x = 1", "show x": "print(x)"})


def problems(count: int, inputs: int) -> list[Task]:
    return [
        Task(str(problem), number, "", ("set x", "show x"), 33)
        for problem in range(count)
        for number in range(inputs)
    ]


def score(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    return Score("print" in "".join(chunks), "print" in "".join(chunks))


@contextmanager
def here() -> Iterator[Runners]:
    yield Runners(run_here, run_here)


def quiet() -> View:
    return View(io.StringIO(), live=False, color=False)


def how(policy: str = "plain", model: FakeModel = MODEL, limit: TimeLimit = ENDLESS) -> Evaluation:
    return Evaluation(score, model, Settings(policy=policy), limit=limit)


class Unwritten:
    """A results file without rows."""

    rows: tuple[ScoredSample, ...] = ()


def planned(tasks: Sequence[Task], policy: str = "plain", samples: int = 1) -> PlannedRun:
    return PlannedRun(how(policy), tasks, samples, Unwritten())  # type: ignore[arg-type]


def test_first_inputs_come_first_and_a_conversation_is_held_in_all_ways_at_once():
    runs = [planned(problems(2, 2), "plain"), planned(problems(2, 2), "default")]
    order = [
        (each.task.problem, each.task.input, each.run.evaluation.settings.policy)
        for each in order_conversations(runs)
    ]
    assert order == [
        (problem, number, policy)
        for number in (0, 1)
        for problem in ("0", "1")
        for policy in ("plain", "default")
    ]


def test_sets_advance_in_proportion_to_their_size():
    small, large = planned(problems(2, 1)), planned(problems(20, 1))
    half = order_conversations([small, large])[:11]
    assert [sum(each.run is run for each in half) for run in (small, large)] == [1, 10]


def test_samples_come_one_after_the_other():
    order = order_conversations([planned(problems(2, 1), samples=2)])
    assert [(each.task.problem, each.sample) for each in order] == [("0", 0), ("1", 0), ("0", 1), ("1", 1)]


def test_what_a_file_has_is_not_held_again(tmp_path: Path):
    with RunFile(tmp_path / "run.jsonl", HEADER) as file:
        evaluate([PlannedRun(how(), problems(2, 1), 1, file)], here, 1, quiet())
    with RunFile(tmp_path / "run.jsonl", HEADER) as file:
        left = order_conversations([PlannedRun(how(), problems(3, 1), 1, file)])
    assert [each.task.problem for each in left] == ["2"]


def test_all_runs_are_held_in_one_pool(tmp_path: Path):
    with RunFile(tmp_path / "a.jsonl", HEADER) as a, RunFile(tmp_path / "b.jsonl", HEADER) as b:
        runs = [
            PlannedRun(how("plain"), problems(3, 1), 1, a),
            PlannedRun(how("rules"), problems(2, 2), 1, b),
        ]
        evaluate(runs, here, 2, quiet())
    assert sorted((row.problem, row.input) for row in read(tmp_path / "a.jsonl").rows) == [
        ("0", 0),
        ("1", 0),
        ("2", 0),
    ]
    assert len(read(tmp_path / "b.jsonl").rows) == 4


def test_no_conversation_begins_once_the_time_is_nearly_over(tmp_path: Path):
    limit = TimeLimit(last_start=time.monotonic())
    with RunFile(tmp_path / "run.jsonl", HEADER) as file:
        evaluate([PlannedRun(how(limit=limit), problems(2, 1), 1, file)], here, 1, quiet())
    assert read(tmp_path / "run.jsonl").rows == ()


def test_a_conversation_that_outlasts_the_time_is_dropped(tmp_path: Path):
    limit = TimeLimit(end=time.monotonic())
    with pytest.raises(OverTimeError):
        run_task(how(limit=limit), problems(1, 1)[0], 0, run_here, run_here)
    with RunFile(tmp_path / "run.jsonl", HEADER) as file:
        evaluate([PlannedRun(how(limit=limit), problems(2, 1), 1, file)], here, 1, quiet())
    assert read(tmp_path / "run.jsonl").rows == ()


class Odd(FakeModel):
    """A model with a bug for one problem."""

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        if "odd" in self.text(prompt):
            raise ZeroDivisionError("a bug")
        return super().complete(prompt, sampling)


def test_a_crash_counts_as_a_failed_conversation_and_is_shown_once(tmp_path: Path):
    model, view = Odd({"set x": "x = 1", "show x": "print(x)"}), quiet()
    tasks = [replace(task, instructions=("odd",)) if task.problem != "1" else task for task in problems(3, 1)]
    with RunFile(tmp_path / "run.jsonl", HEADER) as file:
        evaluate([PlannedRun(how(model=model), tasks, 1, file)], here, 1, view)
    rows = {row.problem: row for row in read(tmp_path / "run.jsonl").rows}
    assert [(rows[name].strict, rows[name].error) for name in "012"] == [
        (False, "crash ZeroDivisionError"),
        (True, ""),
        (False, "crash ZeroDivisionError"),
    ]
    shown = view.out.getvalue()  # type: ignore[attr-defined]
    assert shown.count("Traceback") == 1
    assert "a bug" in shown


def test_many_crashes_end_the_benchmark(tmp_path: Path):
    tasks = [replace(task, instructions=("odd",)) for task in problems(MOST_CRASHES + 2, 1)]
    with RunFile(tmp_path / "run.jsonl", HEADER) as file, pytest.raises(ZeroDivisionError):
        evaluate([PlannedRun(how(model=Odd({})), tasks, 1, file)], here, 1, quiet())
    assert len(read(tmp_path / "run.jsonl").rows) == MOST_CRASHES


def test_a_limit_of_problems_and_inputs_leaves_the_first():
    chosen = select_tasks(problems(3, 3), 2, 1)
    assert [(task.problem, task.input) for task in chosen] == [("0", 0), ("1", 0)]
