"""The Multi-Turn Programming Benchmark: each problem is told in steps, with five inputs.

Nijkamp et al. 2022, arXiv:2203.13474. A step's text has the input's values filled in; `single` tells all
steps at once. The model's code is judged by the value that it prints last.
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.bench.quality import trial
from mtchat.bench.quality.data import problems
from mtchat.bench.quality.ending import WRONG, ending
from mtchat.bench.quality.suite import MULTI, SINGLE, Run, Score, Task
from mtchat.core.outcome import Outcome
from mtchat.core.program import PREAMBLE, Chunk, Program

TITLE = "MTPB"
MODES = (MULTI, SINGLE)
DATA = "mtpb.jsonl"
SOURCE = f"take codegen1/benchmark/{DATA} of github.com/salesforce/CodeGen, and --data FILE"
NEEDED = frozenset({"id", "prompts", "inputs", "outputs", "category"})
BEGINNING = "# Import libraries.\n\nimport numpy as np\n"
LENGTH = 256  # where a problem does not say how long a reply may be
LONGEST = 1024

# Dunder names, so that no program uses them for something else.
OPENING = """\
exec({text!r}, __trial__ := {{"__name__": "trial"}})
__trial__ = __trial__["Trial"]()
"""
PARTS = 3


@dataclass(frozen=True)
class Verdict:
    """What the trial told: whether the value matches, and the name of the program's error."""

    matches: bool = False
    error: str = ""


def tasks(data: Path | None, mode: str) -> Sequence[Task]:
    found = problems(data or Path(DATA), NEEDED, SOURCE)
    return [task for problem in found for task in conversations(problem, mode)]


def conversations(problem: dict[str, Any], mode: str) -> Iterator[Task]:
    """One for each input of a problem."""
    most = problem.get("max_gen_length") or LENGTH
    for number, (values, gold) in enumerate(zip(problem["inputs"], problem["outputs"], strict=True)):
        steps = tuple(prompt.format(**values) for prompt in problem["prompts"])
        single = mode == SINGLE
        yield Task(
            problem=str(problem["id"]),
            input=number,
            category=problem["category"].strip(),
            instructions=("\n".join(steps),) if single else steps,
            length=min(most * len(steps), LONGEST) if single else most,
            preamble=BEGINNING,
            facts=gold,
        )


def score(task: Task, chunks: Sequence[str], run: Run) -> Score:
    outcome = run(judged(whole(task.preamble, chunks), task.facts))
    told = verdict(outcome)
    error = outcome.limit or told.error or ending(outcome) or ("" if told.matches else WRONG)
    compatible = told.matches and not outcome.limit
    return Score(compatible, compatible and not error, error)


def whole(preamble: str, chunks: Sequence[str]) -> str:
    """The chunks as the one source that the paper's script runs."""
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate((preamble, *chunks)))).source


def judged(source: str, gold: Any) -> Program:
    """The trial of a program: no name leads to the wanted value before the program has ended."""
    codes = (
        OPENING.format(text=inspect.getsource(trial)),
        f"__trial__.play({source!r})",
        f"__trial__.tell({json.dumps(gold)!r})",
    )
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=PREAMBLE)))


def verdict(outcome: Outcome) -> Verdict:
    """What was told where the program no longer runs; nothing where that was not reached."""
    if len(outcome.outputs) < PARTS:
        return Verdict()
    try:
        told = json.loads(outcome.outputs[PARTS - 1].partition("\n")[0])
        return Verdict(told["matches"] is True, str(told["error"]))
    except (ValueError, TypeError, KeyError):
        return Verdict()
