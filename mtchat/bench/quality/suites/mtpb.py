"""The Multi-Turn Programming Benchmark: problems in steps, with five inputs each.

Nijkamp et al. 2022, arXiv:2203.13474. A step's text has the input's values filled in; `single` gives all
steps at once. The program is judged by the value that it prints last.
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.bench.quality import trial
from mtchat.bench.quality.data import DataFormat, check_texts, read_problems
from mtchat.bench.quality.suite import MULTI, SINGLE, WRONG, Score, Task, name_failure
from mtchat.generate.execute import RunProgram
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, Chunk, Program

TITLE = "MTPB"
MODES = (MULTI, SINGLE)
DATA = "mtpb.jsonl"
SOURCE = f"download codegen1/benchmark/{DATA} from github.com/salesforce/CodeGen and use --data FILE"
NEEDED = DataFormat({"id": (str, int), "prompts": list, "inputs": list, "outputs": list}, "id", SOURCE)
BEGINNING = "# Import libraries.\n\nimport numpy as np\n"
LENGTH = 256  # tokens of a reply, if the problem gives no limit
LONGEST = 1024

# Dunder names, which no program uses for something else.
OPENING = """\
exec({text!r}, __trial__ := {{"__name__": "trial"}})
__trial__ = __trial__["Trial"]()
"""
PARTS = 3


@dataclass(frozen=True)
class TrialVerdict:
    """The result of a trial: whether the value matches, and the name of the program's error."""

    matches: bool = False
    error: str = ""


def tasks(data: Path | None, mode: str) -> Sequence[Task]:
    return read_problems(data or Path(DATA), NEEDED, lambda problem: make_tasks(problem, mode))


def make_tasks(problem: dict[str, Any], mode: str) -> Iterator[Task]:
    """One for each pair of an input and an output of a problem.

    One published problem has more outputs than inputs; like the paper's script, we pair them in order and
    ignore the rest.
    """
    most = optional_integer(problem, "max_gen_length") or LENGTH
    prompts, changes = check_texts(problem["prompts"], "prompts"), places_of_changes(problem)
    pairs = list(zip(problem["inputs"], problem["outputs"], strict=False))
    if len(pairs) < max(len(problem["inputs"]), 1):
        raise ValueError(f"{len(problem['outputs'])} outputs for {len(problem['inputs'])} inputs")
    for number, (values, gold) in enumerate(pairs):
        steps = tuple(fill_step(prompt, values, at, number) for at, prompt in enumerate(prompts, start=1))
        single = mode == SINGLE
        yield Task(
            problem=str(problem["id"]),
            input=number,
            category=str(problem.get("category") or "").strip(),
            instructions=("\n".join(steps),) if single else steps,
            length=min(most * len(steps), LONGEST) if single else most,
            preamble=BEGINNING,
            facts=gold,
            reference=str(problem.get("reference") or ""),
            changes=() if single else changes,
        )


def places_of_changes(problem: dict[str, Any]) -> tuple[int, ...]:
    """The places of the prompts that change an earlier turn, an optional field of our own sets."""
    places = problem.get("changes") or []
    if not isinstance(places, list) or any(type(each) is not int for each in places):
        raise ValueError("changes is not a list of integers")
    return tuple(places)


def fill_step(prompt: str, values: object, at: int, number: int) -> str:
    """A step's text with an input's values; ValueError if one cannot be filled in."""
    if not isinstance(values, dict):
        raise ValueError(f"item {number + 1} of inputs is not a JSON object")
    try:
        return prompt.format(**values)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        why = f"no value for {error}" if isinstance(error, LookupError) else error
        raise ValueError(f"item {at} of prompts does not fit item {number + 1} of inputs: {why}") from None


def optional_integer(problem: dict[str, Any], name: str) -> int:
    """An optional field, 0 if missing; ValueError unless it is an integer of at least 1."""
    value = problem.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1")
    return value


def score(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    outcome = run(trial_program(join_chunks(task.preamble, chunks), task.facts))
    trial_verdict = read_verdict(outcome)
    error = (
        outcome.limit
        or trial_verdict.error
        or name_failure(outcome)
        or ("" if trial_verdict.matches else WRONG)
    )
    compatible = trial_verdict.matches and not outcome.limit
    return Score(compatible, compatible and not error, error)


def join_chunks(preamble: str, chunks: Sequence[str]) -> str:
    """The chunks as the one source that the paper's script runs."""
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate((preamble, *chunks)))).source


def trial_program(source: str, gold: Any) -> Program:
    """The trial of a program: the program cannot reach the expected value before it has ended."""
    codes = (
        OPENING.format(text=inspect.getsource(trial)),
        f"__trial__.run_source({source!r})",
        f"__trial__.write_verdict({json.dumps(gold)!r})",
    )
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=PREAMBLE)))


def read_verdict(outcome: Outcome) -> TrialVerdict:
    """The verdict that the trial printed after the program; an empty one if it was not reached."""
    if len(outcome.outputs) < PARTS:
        return TrialVerdict()
    try:
        trial_verdict = json.loads(outcome.outputs[PARTS - 1].partition("\n")[0])
        return TrialVerdict(trial_verdict["matches"] is True, str(trial_verdict["error"]))
    except (ValueError, TypeError, KeyError):
        return TrialVerdict()
