"""The simulated user of a benchmark: answers what the wanted value and the data decide, and is counted."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from mtchat.bench.quality.evaluate import Evaluation, run_task
from mtchat.bench.quality.run_file import RecordedRun, RunHeader
from mtchat.bench.quality.simulated_user import SimulatedUser
from mtchat.bench.quality.suite import Score, ScoredSample, Task
from mtchat.bench.quality.table import format_table
from mtchat.features.understand.reading import Kind, Reading, Understanding
from mtchat.generate.execute import RunProgram
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Sampling, Settings
from mtchat.testing import FakeModel
from tests.support.generate import run as run_here

TASK = Task("7", 0, "math", ("set x", "show x"), 33)


def score(task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
    """Programs pass that print one more than x somewhere."""
    passes = "print(x + 1)" in chunks
    return Score(passes, passes, "" if passes else "wrong")


class DoubtfulModel(FakeModel):
    """A model of two minds about what x is to be shown as, which takes "make it two" for a change."""

    def __init__(self) -> None:
        replies = {"set x": "x = 1", "show x": "print(x)", "say bye": "print('bye')"}
        super().__init__(replies, default="x = 2", readings={"make it two": "change 1"})

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.requests.append((prompt, sampling))
        yield Piece(self.reply(prompt), Usage(50, 0, 6, finish="stop", logprob=-3.0))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        for number in range(count):
            said = self.reply(prompt).replace("print(x)", f"print(x + {1 - number % 2})")
            yield number, Piece(said, Usage(50, 0, 6, finish="stop", logprob=-3.0))


def hold(instructions: tuple[str, ...], ask: bool) -> ScoredSample:
    settings = Settings(seed=5, policy="select", corrections=True)
    evaluation = Evaluation(score, DoubtfulModel(), settings, ask=ask)
    return run_task(evaluation, replace(TASK, instructions=instructions), 0, run_here, run_here)


@pytest.mark.parametrize(
    ("instructions", "readings"),
    [
        (("set x", "show x"), ("step", "step")),
        (("set x", "make it two", "show x"), ("step", "change 1", "step")),
        (("set x", "show x", "say bye"), ("step", "step", "step")),
    ],
)
def test_a_simulated_user_picks_what_leads_to_the_wanted_value_and_is_counted(
    instructions: tuple[str, ...], readings: tuple[str, ...]
):
    asked, silent = hold(instructions, True), hold(instructions, False)
    assert asked.strict
    assert "print(x + 1)" in asked.chunks
    assert (asked.asked, asked.answered, asked.needless) == (1, 1, 0)
    assert (silent.strict, silent.asked) == (False, 0)
    assert asked.readings == silent.readings == readings


def test_what_a_user_tries_out_costs_the_conversation_nothing():
    model = DoubtfulModel()
    evaluation = Evaluation(score, model, Settings(policy="select", corrections=True), ask=True)
    task = replace(TASK, instructions=("set x", "show x", "say bye"))
    row = run_task(evaluation, task, 0, run_here, run_here)
    assert row.written == 3 * (6 + 7 * 6)  # each turn: the first completion and seven candidates
    assert len(model.requests) > 3  # two more: "say bye" after each interpretation up to the right one


STEP, CHANGE, RENAME = (
    Reading(Kind.STEP, 0.5),
    Reading(Kind.CHANGE, 0.4, (1,)),
    Reading(Kind.RENAME, 0.4, (1,)),
)


def user(heard: int = 1, changes: tuple[int, ...] = ()) -> SimulatedUser:
    return SimulatedUser(
        score, replace(TASK, changes=changes), run_here, lambda session, heard: (), heard=heard
    )


@pytest.mark.parametrize(
    ("offered", "changes", "taken", "counts"),
    [
        ((STEP, CHANGE), (), STEP, (1, 1, 1)),
        ((STEP, CHANGE), (1,), CHANGE, (1, 1, 0)),
        ((STEP, RENAME), (1,), RENAME, (1, 1, 0)),
        ((replace(CHANGE, confidence=0.5), STEP), (), STEP, (1, 1, 0)),
        ((STEP, Reading(Kind.QUESTION, 0.4)), (1,), STEP, (1, 0, 0)),
    ],
)
def test_whether_an_instruction_is_a_change_is_known_from_the_data(
    offered: tuple[Reading, ...], changes: tuple[int, ...], taken: Reading, counts: tuple[int, int, int]
):
    one = user(heard=2, changes=changes)
    read = one.read(Understanding("show x", offered, "probe", ask_below=0.9))
    assert (read.kind, read.turns) == (taken.kind, taken.turns)
    assert (one.asked, one.answered, one.needless) == counts


def test_nobody_is_asked_about_what_is_clear():
    one = user()
    assert one.read(Understanding("show x", (STEP, CHANGE), "probe", ask_below=0.3)).kind is Kind.STEP
    assert one.asked == 0


def test_a_table_counts_the_questions_of_runs_whose_user_is_asked():
    header = RunHeader(
        *("mtpb", "fake", "f", "float32", "cpu", "multi", "default", 0.0, 0.95, 1, 0, "0", 2, "d")
    )
    rows = tuple(
        ScoredSample(name, 0, 0, "", 1, (), "", asked=asked, answered=asked, needless=1)
        for name, asked in (("a", 3), ("b", 0))
    )
    text = format_table([RecordedRun(header, rows), RecordedRun(replace(header, ask=True), rows)])
    last = [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]]
    assert last == ["fake float32", "default, asked", "mtpb", "1 of 2", "3", "3", "2"]
    assert text.count("1 of 2") == 1
