"""MBPP, sanitised: a function from one sentence and one of its tests, judged by all of them.

Austin et al. 2021, arXiv:2108.07732. The first test is told, as EvalPlus does, since it alone names the
function.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtchat.bench.quality.data import problems
from mtchat.bench.quality.exam import examined
from mtchat.bench.quality.suite import SINGLE, Run, Score, Task

TITLE = "MBPP"
MODES = (SINGLE,)
DATA = "mbpp_sanitized.json"
SOURCE = (
    f"take mbpp/sanitized-mbpp.json of github.com/google-research/google-research as {DATA}, or --data FILE"
)
NEEDED = frozenset({"task_id", "prompt", "test_imports", "test_list"})
LENGTH = 768


def tasks(data: Path | None, mode: str) -> Sequence[Task]:
    return [asked(problem) for problem in problems(data or Path(DATA), NEEDED, SOURCE)]


def asked(problem: dict[str, Any]) -> Task:
    said = f"{problem['prompt'].strip()}\nYour code should pass this test:\n{problem['test_list'][0]}"
    facts = {name: problem[name] for name in ("test_imports", "test_list")}
    return Task(str(problem["task_id"]), 0, "", (said,), LENGTH, facts=facts)


def score(task: Task, chunks: Sequence[str], run: Run) -> Score:
    tests = (*task.facts["test_imports"], *task.facts["test_list"])
    return examined(("\n".join(chunks), "\n".join(tests)), run)
