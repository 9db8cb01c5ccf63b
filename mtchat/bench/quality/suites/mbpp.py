"""MBPP (sanitised): a function from one sentence and one test, judged by all its tests.

Austin et al. 2021, arXiv:2108.07732. The first test is part of the instruction, as in EvalPlus, since it
alone names the function.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtchat.bench.quality.data import DataFormat, check_texts, read_problems
from mtchat.bench.quality.suite import SINGLE, Score, Task, run_tests
from mtchat.generate.execute import RunProgram

TITLE = "MBPP"
MODES = (SINGLE,)
DATA = "mbpp_sanitized.json"
SOURCE = (
    f"download mbpp/sanitized-mbpp.json from github.com/google-research/google-research as {DATA}, "
    "or use --data FILE"
)
NEEDED = DataFormat(
    {"task_id": (str, int), "prompt": str, "test_imports": list, "test_list": list}, "task_id", SOURCE
)
LENGTH = 768


def tasks(data: Path | None, mode: str) -> Sequence[Task]:
    return read_problems(data or Path(DATA), NEEDED, lambda problem: [make_task(problem)])


def make_task(problem: dict[str, Any]) -> Task:
    tests = check_texts(problem["test_list"], "test_list")
    if problem["test_imports"]:
        check_texts(problem["test_imports"], "test_imports")
    said = f"{problem['prompt'].strip()}\nYour code should pass this test:\n{tests[0]}"
    facts = {name: problem[name] for name in ("test_imports", "test_list")}
    return Task(
        str(problem["task_id"]), 0, "", (said,), LENGTH, facts=facts, reference=str(problem.get("code") or "")
    )


def score(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    tests = (*task.facts["test_imports"], *task.facts["test_list"])
    return run_tests(("\n".join(chunks), "\n".join(tests)), run)
