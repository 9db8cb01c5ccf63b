"""The conversations in evals/talk: they load, and their reference programs give the wanted values."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mtchat.bench.quality.suites import mtpb
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.program import Program
from mtchat.session.settings import Limits
from tests.support.scripts import needs_sandbox

TALK = Path(__file__).parents[2] / "evals" / "talk"
SETS = {"everyday": (40, 15), "refinements": (30, 30), "steps": (60, 0)}  # problems, those with changes


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (TALK / f"{name}.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", SETS)
def test_every_problem_has_two_inputs_and_a_reference_for_each_step(name: str) -> None:
    problems, changed = SETS[name]
    found = rows(name)
    assert len({row["id"] for row in found}) == len(found) == problems
    assert sum(bool(row.get("changes")) for row in found) == changed
    assert len(mtpb.tasks(TALK / f"{name}.jsonl", "multi")) == 2 * problems
    for row in found:
        reference, prompts = row["reference"], row["prompts"]
        assert isinstance(reference, list)
        assert isinstance(prompts, list)
        assert len(reference) == len(prompts)


@needs_sandbox
@pytest.mark.parametrize("name", SETS)
def test_reference_programs_give_the_wanted_values(name: str) -> None:
    tasks = {task.problem: task for task in mtpb.tasks(TALK / f"{name}.jsonl", "multi") if task.input == 0}
    wrong = []
    with Sandbox(unsafe=False) as sandbox:

        def run(program: Program):
            return sandbox.run(program, Limits(seconds=20), None)

        for row in rows(name):
            code = [str(piece) for piece in row["reference"]]  # type: ignore[attr-defined]
            needs = [each for each in ("pandas", "numpy") if any(each in piece for piece in code)]
            if (
                all(find_spec(each) for each in needs)
                and not mtpb.score(tasks[str(row["id"])], code, run).strict
            ):
                wrong.append(row["id"])
    assert not wrong
