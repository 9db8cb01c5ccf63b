"""Conversations of a benchmark: taken by the function that takes turns, many at once, and gone on with."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mtchat.bench.quality.evaluate import Evaluation, Runners, find_stop, run_task
from mtchat.bench.quality.pool import PlannedRun, evaluate, format_duration
from mtchat.bench.quality.program_measures import ProgramMeasures
from mtchat.bench.quality.run_file import RunFile, RunHeader, read
from mtchat.bench.quality.suite import Score, ScoredSample, Task
from mtchat.console.view import View
from mtchat.errors import MtchatError
from mtchat.generate.execute import RunProgram
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Sampling, Settings
from mtchat.testing import FakeModel
from tests.support.generate import run as run_here
from tests.support.problems import ADDITION
from tests.support.scripts import needs_sandbox
from tests.support.shell import mtchat
from tests.support.starter import needs_small

HEADER = RunHeader(
    *("mtpb", "fake", "f", "float32", "cpu", "multi", "plain", 0.0, 0.95, 2, 0, "0", 3, "d"),
)
TASK = Task("7", 0, "math", ("set x", "show x"), 33, preamble="y = 0\n", facts="1")


class Counting:
    """A suite whose programs pass when they print 1."""

    TITLE, MODES = "counting", ("multi",)

    def tasks(self, data: Path | None, mode: str) -> Sequence[Task]:
        return [replace(TASK, problem=str(number)) for number in range(3)]

    def score(self, task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
        said = "\n".join(chunks)
        return Score("print" in said, "print" in said, "" if "print" in said else "wrong")


class CountedModel(FakeModel):
    """A model that knows two instructions; each reply costs six tokens."""

    def __init__(self) -> None:
        super().__init__({"set x": "x = 1", "show x": "print(x)"}, default="a b STOP c")

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.requests.append((prompt, sampling))
        text = self.reply(prompt)
        yield Piece(text[:4], Usage(50, 0, 2))
        yield Piece(text[4:], Usage(50, 0, 6, finish="stop", logprob=-3.0))


def bench(policy: str = "plain", model: FakeModel | None = None, corrections: bool = False) -> Evaluation:
    settings = Settings(seed=5, policy=policy, corrections=corrections)
    return Evaluation(Counting().score, model or CountedModel(), settings)


def test_a_conversation_is_one_row_with_what_it_took():
    row = run_task(bench(), TASK, 0, run_here, run_here)
    assert (row.problem, row.input, row.sample, row.category, row.turns) == ("7", 0, 0, "math", 2)
    assert row.chunks == ("x = 1", "print(x)")
    assert row.program == "y = 0\n\nx = 1\n\nprint(x)\n"
    assert (row.prompt_tokens, row.written, row.tried, row.mended) == (100, 12, 0, 0)
    assert row.certainty == (-0.5, -0.5)
    assert len(row.clock) == 2
    assert (row.compatible, row.strict, row.error) == (True, True, "")
    assert row.measures == ProgramMeasures(turns=2, with_code=2, lines=2)


def test_the_tokens_of_every_candidate_count():
    row = run_task(bench("select"), TASK, 0, run_here, run_here)
    assert (row.written, row.tried) == (2 * (6 + 7 * 6), 14)


def test_samples_differ_in_their_seeds_and_a_reply_has_the_problems_length():
    model = CountedModel()
    for sample in (0, 1):
        run_task(bench(model=model), TASK, sample, run_here, run_here)
    seen = [sampling for _, sampling in model.requests]
    assert [each.seed for each in seen] == [5, 5, 1005, 1005]
    assert {each.max_tokens for each in seen} == {33}


def test_a_text_is_gone_on_with_up_to_its_first_stop():
    task = replace(TASK, instructions=(), prompt="def f():\n", stops=("STOP", "zzz"))
    row = run_task(bench(), task, 0, run_here, run_here)
    assert row.chunks == ("a b ",)
    assert find_stop("abc", ("x",)) == 3


@contextmanager
def here(judge: RunProgram = run_here) -> Iterator[Runners]:
    """Programs run right here; `judge` runs those that are scored."""
    yield Runners(run_here, judge)


def quiet() -> View:
    return View(io.StringIO(), live=False, color=False)


def held(path: Path, one: Evaluation, lanes: int = 2) -> None:
    with RunFile(path, HEADER) as writer:
        evaluate([PlannedRun(one, list(Counting().tasks(None, "multi")), 2, writer)], here, lanes, quiet())


def test_a_run_holds_every_sample_of_every_conversation_once(tmp_path: Path):
    held(tmp_path / "run.jsonl", bench())
    rows = read(tmp_path / "run.jsonl").rows
    assert sorted((row.problem, row.sample) for row in rows) == [(p, s) for p in "012" for s in (0, 1)]


def test_a_run_that_fails_midway_goes_on_where_it_was(tmp_path: Path):
    class Failing(CountedModel):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if len(self.requests) == 6:
                raise MtchatError("the model is gone")
            return super().complete(prompt, sampling)

    path = tmp_path / "run.jsonl"
    with pytest.raises(MtchatError, match="gone"):
        held(path, bench(model=Failing()), lanes=1)
    done = read(path).rows
    assert 0 < len(done) < 6
    held(path, bench(), lanes=1)
    rows = read(path).rows
    assert rows[: len(done)] == done
    assert len({(row.problem, row.sample) for row in rows}) == len(rows) == 6


def test_an_interrupt_of_a_run_keeps_what_was_scored(tmp_path: Path):
    def interrupted(program: Program) -> Outcome:
        raise KeyboardInterrupt

    path = tmp_path / "run.jsonl"
    one = replace(bench(), scoring=Interrupting().score)
    tasks = list(Counting().tasks(None, "multi"))
    with RunFile(path, HEADER) as writer, pytest.raises(KeyboardInterrupt):
        evaluate([PlannedRun(one, tasks, 1, writer)], lambda: here(interrupted), 1, quiet())
    assert {"0"} <= {row.problem for row in read(path).rows} <= {"0", "2"}


def test_a_run_that_cannot_be_written_ends_at_once():
    some = threading.Event()

    class Noting(CountedModel):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if len(self.requests) > 20:
                some.set()
            return super().complete(prompt, sampling)

    class Full:
        rows: tuple[ScoredSample, ...] = ()

        def append(self, row: ScoredSample) -> None:
            some.wait()  # for rows that are lost, too
            raise MtchatError("the disk is full")

    model, tasks = Noting(), list(Counting().tasks(None, "multi"))
    run = PlannedRun(bench(model=model), tasks, 1000, Full())  # type: ignore[arg-type]
    with pytest.raises(MtchatError, match="full"):
        evaluate([run], here, 1, quiet())
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join()
    assert len(model.requests) < 3000


class Interrupting(Counting):
    """Passes the first program, and is interrupted while it scores the second."""

    def score(self, task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
        if task.problem == "1":
            run(Program())
        return Score(True, True)


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5 s"), (65, "1 min 5 s"), (7260, "2 h 1 min")])
def test_the_time_that_is_left_reads_well(seconds: float, text: str):
    assert format_duration(seconds) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mtpb", "--n", "0"], "--n, --limit, --inputs, --concurrency and --processes must be at least 1"),
        (["mtpb", "--n", "5"], "--n above 1 needs a --temperature above 0"),
        (["mtpb", "--mode", "completion"], "--mode of mtpb is multi or single, not 'completion'"),
        (["mtpb", "--data", "nothing.jsonl"], "nothing.jsonl does not exist"),
        (["mtpb", "--policy", "worst"], "'worst' is not a policy; choose from: best, default"),
        (["mtpb", "--out", "no/such/folder/x.jsonl"], "no folder"),
        (["report", "nothing.jsonl"], "cannot read nothing.jsonl"),
        ([], "the following arguments are required: WHAT"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_a_model_is_loaded(
    words: list[str], said: str, tmp_path: Path
):
    done = mtchat(tmp_path, "bench", *words)
    assert done.returncode != 0
    assert said in done.stderr


needs_model = [
    pytest.mark.model,
    needs_small,
    needs_sandbox,
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "two.jsonl"
    path.write_text("".join(json.dumps({**ADDITION, "id": name}) + "\n" for name in "12"))
    return path


def words(data: Path, out: Path) -> list[str]:
    model = ["--model", "starter-small", "--policy", "plain", "--lanes", "2"]
    return ["bench", "mtpb", "--data", str(data), *model, "--out", str(out)]


@pytest.mark.parametrize("_", [pytest.param(None, marks=needs_model)])
def test_a_real_run_that_is_killed_goes_on_and_comes_to_the_same(data: Path, tmp_path: Path, _: None):
    out, whole = tmp_path / "run.jsonl", tmp_path / "whole.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "mtchat", *words(data, out)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and (not out.exists() or out.read_bytes().count(b"\n") < 2):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    done = read(out).rows
    assert done
    for path in (out, whole):
        ended = mtchat(tmp_path, *words(data, path))
        assert ended.returncode == 0, ended.stderr
        assert "raw samples" in ended.stdout
        assert "4 of 4 conversations on 2 problems" in ended.stdout
    programs = [{(row.problem, row.input): row.program for row in read(path).rows} for path in (out, whole)]
    assert programs[0] == programs[1]
    assert len(programs[0]) == 4
    assert read(out).rows[: len(done)] == done


CHANGED = replace(TASK, instructions=("set x", "make it two", "show x", "is that so?"), preamble="")


def changing_model() -> FakeModel:
    return FakeModel(
        {"set x": "x = 1", "make it two": "x = 2", "show x": "print(x)", "is that so?": "print(x > 1)"},
        default="x = 2",  # the code of turn 1 again, with the change
        readings={"make it two": "change 1", "is that so?": "question"},
    )


def test_an_instruction_that_changes_an_earlier_turn_is_no_further_turn():
    row = run_task(bench(model=changing_model(), corrections=True), CHANGED, 0, run_here, run_here)
    assert row.readings == ("step", "change 1", "step", "step")  # nobody is there to ask a question
    assert row.chunks == ("x = 2", "print(x)", "print(x > 1)")
    assert (row.turns, len(row.clock), len(row.certainty)) == (4, 4, 3)


def test_without_understanding_every_instruction_is_a_step():
    row = run_task(bench(model=changing_model()), CHANGED, 0, run_here, run_here)
    assert row.readings == ("step",) * 4
    assert row.chunks == ("x = 1", "x = 2", "print(x)", "print(x > 1)")


def test_a_change_that_is_refused_leaves_the_program_as_it_is():
    model = FakeModel({"set x": "x, y = 1, 2", "show x": "print(x)"}, readings={"break it": "change 1"})
    task = replace(TASK, instructions=("set x", "break it", "show x"), preamble="")
    row = run_task(bench(model=model, corrections=True), task, 0, run_here, run_here)
    assert row.readings == ("step", "refused", "step")
    assert row.chunks == ("x, y = 1, 2", "print(x)")
    assert row.strict


def test_a_file_says_whether_instructions_were_understood_and_old_ones_were_not(tmp_path: Path):
    path, header = tmp_path / "run.jsonl", asdict(HEADER)
    del header["understanding"]
    path.write_text(json.dumps({"run": header}) + "\n")
    assert not read(path).header.understanding
    with pytest.raises(MtchatError, match="understanding is False there and True here"):
        RunFile(path, replace(HEADER, understanding=True))
    with RunFile(path, HEADER) as again:
        assert again.rows == ()
