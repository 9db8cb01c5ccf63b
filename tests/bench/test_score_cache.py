"""A benchmark's program that comes again is not run again, unless it may end otherwise."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mtchat.bench.quality.score_cache import ScoreCache
from mtchat.bench.quality.suite import Score, Task
from mtchat.bench.quality.suites import mtpb
from mtchat.generate.execute import RunProgram
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Chunk, Program
from tests.support.generate import run as run_here

TASK = Task("7", 0, "math", ("show 1",), 33, facts="1")


class Runs:
    """Runs programs as `run` does, and counts them."""

    def __init__(self, run: RunProgram = run_here) -> None:
        self.run, self.count = run, 0

    def __call__(self, program: Program) -> Outcome:
        self.count += 1
        return self.run(program)


def printed(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    passes = run(Program((Chunk(1, "\n".join(chunks)),))).outputs[0].strip() == task.facts
    return Score(passes, passes, "" if passes else "wrong")


def limited(limit: str) -> Callable[[Program], Outcome]:
    return lambda program: replace(run_here(program), reason=Reason(limit))


def test_a_program_that_comes_again_has_the_score_it_had():
    scoring, runs = ScoreCache(printed), Runs()
    assert [scoring(TASK, ["print(1)"], runs).strict for _ in range(3)] == [True] * 3
    assert [scoring(TASK, ("print(2)",), runs).error for _ in range(3)] == ["wrong"] * 3
    assert runs.count == 2


def test_another_input_or_problem_is_scored_by_itself():
    scoring, runs = ScoreCache(printed), Runs()
    told = [
        scoring(task, ["print(1)"], runs).strict
        for task in (TASK, replace(TASK, input=1, facts="2"), replace(TASK, problem="8", facts="3"))
    ]
    assert (told, runs.count) == ([True, False, False], 3)


def test_a_turn_taken_apart_otherwise_is_another_program():
    scoring, runs = ScoreCache(printed), Runs()
    for chunks in (["x = 1", "print(x)"], ["x = 1\nprint(x)"]):
        assert scoring(TASK, chunks, runs).strict
    assert runs.count == 2


@pytest.mark.parametrize(
    "code",
    [
        "import random\nprint(random.choice([1, 1]))",
        "import time\nprint(int(time.time() > 0))",
        "print(1)  # a sample of one",
    ],
)
def test_what_asks_for_chance_or_the_time_is_run_each_time(code: str):
    scoring, runs = ScoreCache(printed), Runs()
    assert all(scoring(TASK, [code], runs).strict for _ in range(3))
    assert runs.count == 3


def test_tests_that_ask_for_chance_are_run_each_time_too():
    scoring, runs = ScoreCache(lambda task, chunks, run: printed(TASK, chunks, run)), Runs()
    for _ in range(2):
        scoring(replace(TASK, facts={"test": "import random"}), ["print(1)"], runs)
    assert runs.count == 2


def test_an_end_that_a_limit_brought_is_not_remembered():
    scoring, runs = ScoreCache(printed), Runs(limited("seconds"))
    for _ in range(2):
        scoring(TASK, ["print(1)"], runs)
    runs.run = run_here
    for _ in range(2):
        scoring(TASK, ["print(1)"], runs)
    assert runs.count == 3


def test_scores_of_the_sandbox_are_those_without_memory(boxed: RunProgram):
    plain, scoring, runs = mtpb.score, ScoreCache(mtpb.score), Runs(boxed)
    task = replace(TASK, preamble=mtpb.BEGINNING, facts=6)
    for chunks in (["x = 6", "print(x)"], ["x = 5", "x"], ["x = ", "x"], ["print(6)", "print(nothing)"]):
        expected = plain(task, chunks, boxed)
        assert [scoring(task, chunks, runs) for _ in range(2)] == [expected] * 2
    assert runs.count == 4
