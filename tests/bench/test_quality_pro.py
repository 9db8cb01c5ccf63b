"""HumanEval Pro and MBPP Pro: pairs of functions as two turns or one, and what their tests say."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mtchat.bench.quality.suite import MULTI, SINGLE, Score
from mtchat.bench.quality.suites import humaneval, mbpp, mtpb, pro
from tests import SHARED

DATA = Path(os.environ.get("MTCHAT_DATA", SHARED))
PASSES = Score(True, True)
WRONG = Score(False, False, "wrong")


def written(path: Path, row: dict[str, Any]) -> Path:
    path.write_text(json.dumps(row) + "\n")
    return path


SUM = {
    "id": 3,
    "raw_problem": "# Write a function to double a number.\ndef double(x):\n",
    "raw_solution": "    return 2 * x\n",
    "new_problem": "# Double all numbers, and add them up.\ndef double_sum(numbers):\n",
    "new_solution": "    return sum(map(double, numbers))\n",
    "test_code": "assert double_sum([1, 2]) == 6\nassert double_sum([]) == 0",
}


def test_a_pair_of_pro_has_two_turns_or_one(tmp_path: Path):
    path = written(tmp_path / "few.jsonl", SUM)
    (multi,), (single,) = (pro.tasks(path, mode) for mode in (MULTI, SINGLE))
    assert (multi.problem, len(multi.instructions), len(single.instructions)) == ("3", 2, 1)
    assert "def double(x):" in multi.instructions[0]
    assert "double_sum" not in multi.instructions[0]
    assert "def double_sum(numbers):" in multi.instructions[1]
    assert "def double(x):\n# Double all" in single.instructions[0]
    assert SUM["new_solution"] not in json.dumps([multi.facts, multi.instructions])


@pytest.mark.parametrize(
    ("tests", "name"),
    [
        ("assert double_sum([1]) == 2", ""),
        ("assert add_doubles([1]) == 2", "The name of the function is add_doubles."),
        ("assert sorted(add_doubles(double(1))) == 2", "The name of the function is add_doubles."),
        ("import math\ndef half(x): return x / 2\nassert half(2) == double(2)", ""),
        ("not Python (", ""),
    ],
)
def test_a_problem_that_does_not_name_its_function_is_told_the_name_in_the_tests(
    tmp_path: Path, tests: str, name: str
):
    path = written(tmp_path / "few.jsonl", {**SUM, "test_code": tests})
    for mode in (MULTI, SINGLE):
        (task,) = pro.tasks(path, mode)
        assert task.instructions[-1].endswith(name)
        assert ("The name of" in task.instructions[-1]) == bool(name)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("chunks", "score"),
    [
        (["def double(x):\n    return 2 * x", "def double_sum(all):\n    return 2 * sum(all)"], PASSES),
        (["def double(x):\n    return 2 * x", "def double_sum(all):\n    return sum(all)"], WRONG),
        (["", "def double_sum(all):\n    return sum(map(double, all))"], Score(False, False, "NameError")),
        (["def double(x):\n    return 2 * x", ""], Score(False, False, "NameError")),
    ],
)
def test_the_tests_of_the_second_function_judge_a_pair(
    boxed, tmp_path: Path, chunks: list[str], score: Score
):
    (task,) = pro.tasks(written(tmp_path / "few.jsonl", SUM), MULTI)
    assert pro.score(task, chunks, boxed) == score


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["humaneval_pro_dev.json", "mbpp_pro_dev.json"])
def test_the_solutions_of_pro_pass(boxed, name: str):
    if not (DATA / name).is_file():
        pytest.skip(f"{DATA / name} is not here")
    tasks = pro.tasks(DATA / name, MULTI)
    assert len(tasks) in (84, 206)
    for number in range(0, len(tasks), 41):
        assert pro.score(tasks[number], [tasks[number].reference], boxed) == PASSES


STEPS = {"id": 7, "prompts": ["Print {A}."], "inputs": [{"A": 1}], "outputs": [1]}
UP = {
    "task_id": 9,
    "prompt": "Write up.",
    "code": "def up(): ...",
    "test_imports": [],
    "test_list": ["assert up()"],
}


def test_the_solution_of_a_task_is_its_reference(tmp_path: Path):
    (pair,) = pro.tasks(written(tmp_path / "1.jsonl", SUM), MULTI)
    (steps,) = mtpb.tasks(written(tmp_path / "2.jsonl", STEPS | {"reference": "print(1)"}), MULTI)
    (function,) = mbpp.tasks(written(tmp_path / "3.jsonl", UP), SINGLE)
    assert pair.reference.endswith(SUM["new_solution"].rstrip() + "\n")
    assert steps.reference == "print(1)"
    assert function.reference == UP["code"]
    assert mtpb.tasks(written(tmp_path / "4.jsonl", STEPS), MULTI)[0].reference == ""


def test_the_solution_of_humaneval_follows_its_prompt(tmp_path: Path):
    row = {"task_id": "x/1", "prompt": "def f():\n", "entry_point": "f", "test": "def check(f): pass"}
    for solution, reference in (("    return 1\n", "def f():\n    return 1\n"), (None, "")):
        path = written(tmp_path / "few.jsonl", row | {"canonical_solution": solution})
        assert humaneval.tasks(path, SINGLE)[0].reference == reference


def test_the_places_of_changes_are_those_of_the_turns(tmp_path: Path):
    path = written(tmp_path / "few.jsonl", STEPS | {"changes": [1, 2]})
    assert [mtpb.tasks(path, mode)[0].changes for mode in (MULTI, SINGLE)] == [(1, 2), ()]
