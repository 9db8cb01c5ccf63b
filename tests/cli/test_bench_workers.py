"""Conversations of a benchmark held in several processes: the same rows as in one, and errors that end it."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mtchat.cli.bench_workers import WorkerFailure
from mtchat.errors import MtchatError, UsageError
from tests.support.problems import ADDITION
from tests.support.scripts import needs_sandbox
from tests.support.starter import needs_small


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps({**ADDITION, "id": name}) + "\n" for name in ("p1", "p2")))
    return path


def bench(data: Path, model: str, out: Path, processes: int) -> subprocess.CompletedProcess[str]:
    words = ["bench", "mtpb", "--data", str(data), "--model", model, "--device", "cpu", "--out", str(out)]
    more = ["--policy", "plain", "--concurrency", "2", "--processes", str(processes)]
    command = [sys.executable, "-m", "mtchat", *words, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def programs(path: Path) -> dict[tuple[str, int], str]:
    rows = map(json.loads, path.read_text().splitlines()[1:])
    return {(row["problem"], row["input"]): row["program"] for row in rows}


@pytest.mark.model
@needs_small
@needs_sandbox
def test_two_processes_hold_the_same_conversations_as_one(data: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    ended = [bench(data, "starter-small", path, count) for path, count in ((one, 1), (two, 2))]
    assert [each.returncode for each in ended] == [0, 0], ended
    assert len(programs(two)) == 4
    assert programs(one) == programs(two)
    assert one.read_text().splitlines()[0] == two.read_text().splitlines()[0]


@needs_sandbox
def test_a_model_that_does_not_load_ends_all_processes_with_its_error(data: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    ended = bench(data, str(broken), tmp_path / "run.jsonl", 2)
    assert ended.returncode != 0
    assert "broken.gguf" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "run.jsonl").exists()


class OddError(Exception):
    """An error that cannot be made again from its text."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def test_any_error_of_a_worker_comes_over_with_its_kind_and_text() -> None:
    try:
        raise OddError("this", "that")
    except OddError as error:
        found = pickle.loads(pickle.dumps(WorkerFailure.of(error))).error()
    assert type(found).__name__ == "OddError"
    assert "this and that" in str(found)
    assert "test_any_error_of_a_worker" in str(found)  # the place in the worker
    known = pickle.loads(pickle.dumps(WorkerFailure.of(UsageError("give a file")))).error()
    assert isinstance(known, MtchatError)
    assert str(known) == "give a file"
