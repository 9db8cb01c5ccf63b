"""HumanEval Pro and MBPP Pro: a function, and then one that uses it; judged by the tests of the second.

Yu et al. 2024, arXiv:2412.21199. In mode `multi` each function has a turn; `single` gives both problems at
once, in the words of the published prompt. Where a problem does not name the function that its tests call, as
in some of MBPP Pro, the instruction does.
"""

import ast
import builtins
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtchat.bench.quality.data import DataFormat, read_problems
from mtchat.bench.quality.suite import MULTI, SINGLE, Score, Task, run_tests
from mtchat.generate.execute import RunProgram
from mtchat.session.names import bound_names, parse_module

TITLE = "HumanEval Pro and MBPP Pro"
MODES = (MULTI, SINGLE)
DATA = "humaneval_pro.json"
SOURCE = f"download {DATA} or mbpp_pro.json from github.com/CodeEval-Pro/CodeEval-Pro and use --data FILE"
NEEDED = DataFormat(
    {"id": (str, int), "raw_problem": str, "new_problem": str, "test_code": str}, "id", SOURCE
)
LENGTH = 768
FIRST = "Write a Python function that solves this problem:\n```python\n{}\n```"
SECOND = (
    "Now write a function that solves this problem too. It calls the first function one or more times:\n"
    "```python\n{}\n```"
)
BOTH = """\
Write a solution of python file to the following problems, the solution of the second problem requires \
single or multiple calls to the first solution.
```python
{}
{}
```
Please put the two solutions within a complete Python code block."""
BODY = "\n    pass"  # of a function whose problem is only its signature
NAME = "\nThe name of the function is {}."


def tasks(data: Path | None, mode: str) -> Sequence[Task]:
    return read_problems(data or Path(DATA), NEEDED, lambda problem: [make_task(problem, mode)])


def make_task(problem: dict[str, Any], mode: str) -> Task:
    first, second = problem["raw_problem"].strip(), problem["new_problem"].strip()
    name = tested_function(problem["test_code"], first)
    named = NAME.format(name) if name and f"def {name}(" not in second else ""
    single = mode == SINGLE
    said = (BOTH.format(first, second),) if single else (FIRST.format(first), SECOND.format(second))
    solutions = (problem["raw_problem"], problem.get("raw_solution"), second, problem.get("new_solution"))
    return Task(
        *(str(problem["id"]), 0, "", (*said[:-1], said[-1] + named), 2 * LENGTH if single else LENGTH),
        facts={"test_code": problem["test_code"]},
        reference="\n".join(map(str, solutions)) if all(solutions) else "",
    )


def tested_function(tests: str, problem: str) -> str:
    """The function that tests call and neither they nor the first problem define; "" if there is none."""
    module = parse_module(tests)
    known = {*bound_names(problem + BODY), *bound_names(tests), *dir(builtins)}
    for node in ast.walk(module) if module else ():
        match node:
            case ast.Call(ast.Name(name)) if name not in known:
                return name
    return ""


def score(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    return run_tests(("\n".join(chunks), task.facts["test_code"]), run)
