"""The program's stdin has the content of the user's file, but gives no access to the file."""

import os
import threading
from pathlib import Path

import pytest

from mtchat.errors import SandboxError
from mtchat.sandbox.host.channels import open_stdin
from mtchat.sandbox.host.execute import run_in
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.settings import Limits
from tests.sandbox.battery.tiers import BACKENDS, tier

CHANGE = """
import os
for attempt in (
    lambda: os.write(0, b"theirs"),
    lambda: os.write(os.open("/proc/self/fd/0", os.O_WRONLY), b"theirs"),
    lambda: os.truncate("/proc/self/fd/0", 0),
    lambda: os.fchmod(0, 0o777),
    lambda: os.utime(0, (0, 0)),
):
    try:
        attempt()
    except OSError:
        continue
print(input())
"""


def everything(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text("mine\n")
    path.chmod(0o600)
    os.utime(path, (1, 1))
    return path


def test_a_file_is_read_from_a_copy_that_nobody_can_change(mine: Path) -> None:
    with open_stdin(mine) as descriptor:
        assert os.fstat(descriptor).st_ino != mine.stat().st_ino
        with pytest.raises(PermissionError):
            os.write(descriptor, b"theirs")
        with pytest.raises(PermissionError):
            os.truncate(descriptor, 0)
        assert everything(descriptor) == b"mine\n"
    assert mine.read_text() == "mine\n"


def test_what_is_too_long_for_memory_comes_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(bytes(range(256)) * 1000)
    with open_stdin(path, most_copied=100) as descriptor:
        assert everything(descriptor) == path.read_bytes()


def test_a_pipe_is_passed_on_as_it_comes_and_let_go_when_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer: list[int] = []
    thread = threading.Thread(target=lambda: writer.append(os.open(path, os.O_WRONLY)))
    thread.start()
    with open_stdin(path) as descriptor:
        thread.join()
        for word in (b"one", b"two"):
            os.write(writer[0], word)
            assert os.read(descriptor, 100) == word
    for feeder in [each for each in threading.enumerate() if each.name == "mtchat-keyboard"]:
        feeder.join(5)
        assert not feeder.is_alive()
    with pytest.raises(BrokenPipeError):
        os.write(writer[0], b"three")
    os.close(writer[0])


def test_input_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot read"), open_stdin(tmp_path / "none"):
        pass


def ran(name: str, code: str, stdin: Path) -> Outcome:
    there = tier(name)
    if there.choice is None:
        pytest.skip(f"{name} does not work here: {there.reason}")
    return run_in(there.choice, Program((Chunk(1, code),)), Limits(), inputs=RunInputs(stdin=stdin))


@pytest.mark.sandbox
@pytest.mark.parametrize("name", BACKENDS)
def test_a_program_cannot_change_the_file_that_it_reads(name: str, mine: Path) -> None:
    before = mine.stat()
    outcome = ran(name, CHANGE, mine)
    assert (outcome.stdout, outcome.error) == ("mine\n", "")
    after = mine.stat()
    assert mine.read_text() == "mine\n"
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
