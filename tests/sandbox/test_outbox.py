"""Files of runs are copied below one folder: no link is followed, nothing is overwritten."""

import json
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtchat.errors import SandboxError
from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.host.collect import CollectedFiles, collect_files, deliver_files
from mtchat.sandbox.host.execute import run_in
from mtchat.sandbox.host.outbox import LIST, TIMES
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, AttachedFile, Chunk, Program, RunInputs
from mtchat.session.settings import Limits
from tests.sandbox.battery.tiers import BACKENDS, tier

MIB = 1 << 20
WAYS = ("T1", "T2", "checkpoints")


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def left(folder: Path, out: Path, most: int = MIB, **files: str) -> CollectedFiles:
    """What is taken of a run that leaves these files and nothing else; __ in a name is a full stop."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    for path in work.iterdir():
        path.unlink()
    for name, text in files.items():
        (work / name.replace("__", ".")).write_text(text)
    with opened(work) as descriptor:
        return collect_files(descriptor, most, out)


@pytest.mark.parametrize("leads_to", ["folder", "nothing"])
def test_a_folder_for_files_that_is_a_link_takes_none(tmp_path: Path, leads_to: str) -> None:
    out, home = tmp_path / "s.files", tmp_path / "home"
    out.symlink_to(home)
    if leads_to == "folder":
        home.mkdir()
        (home / "a__txt").write_text("mine")
    found = left(tmp_path, out, a="theirs", b="theirs")
    assert found.files == ()
    assert found.skipped == (
        f"all files: {out} is a symbolic link, and mtchat does not follow it; move it away",
    )
    assert not home.exists() or os.listdir(home) == ["a__txt"]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_there_and_is_no_file_stays(tmp_path: Path, kind: str) -> None:
    out, mine = tmp_path / "s.files", tmp_path / "mine"
    out.mkdir()
    mine.write_text("mine")
    goal = out / "a"
    {"link": lambda: goal.symlink_to(mine), "pipe": lambda: os.mkfifo(goal), "folder": goal.mkdir}[kind]()
    before = goal.lstat().st_mode
    found = left(tmp_path, out, a="theirs", b="theirs")
    assert [file.path for file in found.files] == ["b"]
    assert found.skipped == (f"'a': in {out} that name belongs to a {kind}; move it away",)
    assert (goal.lstat().st_mode, mine.read_text()) == (before, "mine")


def test_a_file_of_the_users_own_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "s.files"
    out.mkdir()
    (out / "a").write_text("mine")
    found = left(tmp_path, out, a="theirs", b="theirs")
    assert (out / "a").read_text() == "mine"
    assert [file.path for file in found.files] == ["b"]
    assert found.skipped == (
        f"'a': in {out} that name belongs to a file that you made or changed; move it away",
    )


@pytest.mark.parametrize("edited", ["changed", "twelve"], ids=["another size", "the same size"])
def test_a_result_is_renewed_until_the_user_changes_it(tmp_path: Path, edited: str) -> None:
    out = tmp_path / "s.files"
    left(tmp_path, out, a="first!")
    left(tmp_path, out, a="second")
    assert (out / "a").read_text() == "second"
    (out / "a").write_text(edited)
    assert left(tmp_path, out, a="third").files == ()
    assert (out / "a").read_text() == edited
    (out / "a").unlink()
    assert [file.path for file in left(tmp_path, out, a="third").files] == ["a"]


def test_the_users_own_copy_of_a_result_stays_the_users(tmp_path: Path) -> None:
    out = tmp_path / "s.files"
    out.mkdir()
    (out / "a").write_text("same")
    assert [file.path for file in left(tmp_path, out, a="same").files] == ["a"]
    assert left(tmp_path, out, a="other").files == ()
    assert (out / "a").read_text() == "same"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": [true]}', '{"a": [-1, "x"]}', "[" * 9999, "9" * 9999], ids=repr
)
def test_a_list_that_makes_no_sense_lists_nothing(tmp_path: Path, text: str) -> None:
    out = tmp_path / "s.files"
    out.mkdir()
    (out / LIST).write_text(text)
    (out / "a").write_text("mine")
    assert [file.path for file in left(tmp_path, out, a="theirs", b="b").files] == ["b"]
    assert list(json.loads((out / LIST).read_text())) == ["b"]


def test_a_program_cannot_write_the_list(tmp_path: Path) -> None:
    out = tmp_path / "s.files"
    found = left(tmp_path, out, **{"__mtchat-files": '{"a": [4, ""]}', "b": "b"})
    assert [file.path for file in found.files] == ["b"]
    assert found.skipped == (f"'{LIST}': that name is reserved for mtchat",)


def test_a_list_that_is_a_link_is_not_read_and_not_written_through(tmp_path: Path) -> None:
    out, mine = tmp_path / "s.files", tmp_path / "mine"
    out.mkdir()
    mine.write_text("mine")
    (out / LIST).symlink_to(mine)
    left(tmp_path, out, a="a")
    assert mine.read_text() == "mine"
    assert not (out / LIST).is_symlink()


def test_a_run_leaves_no_more_than_its_room_however_sparse_its_files(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for number in range(6):
        with open(work / str(number), "wb") as file:
            file.truncate(MIB)
    with opened(work) as descriptor:
        found = collect_files(descriptor, 2 * MIB, tmp_path / "out")
    assert [file.path for file in found.files] == ["0", "1"]
    assert found.skipped[0] == "'2': a run may leave at most 2 MiB of files"
    assert sum(path.stat().st_size for path in (tmp_path / "out").glob("[0-9]")) == 2 * MIB


def test_many_runs_leave_a_few_times_the_room_of_one(tmp_path: Path) -> None:
    out, text = tmp_path / "s.files", "x" * 1000
    taken = [len(left(tmp_path, out, 1000, **{f"f{number}": text}).files) for number in range(9)]
    assert taken == [1] * TIMES + [0] * (9 - TIMES)
    assert left(tmp_path, out, 1000, f0="y" * 1000).files  # in the place of what it left before
    (out / "f1").unlink()
    assert left(tmp_path, out, 1000, f9=text).files


def test_the_paths_of_files_and_of_what_is_left_behind_stay_short(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for number in range(400):
        folder = work / ("ü" * 100) / ("b" * 200)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}").touch()
    (work / ("c" * 250) / ("d" * 250)).mkdir(parents=True)
    (work / ("c" * 250) / ("d" * 250) / "e").touch()
    with opened(work) as descriptor:
        found = collect_files(descriptor, MIB)
    assert 100 < len(found.files) < 200
    assert len(json.dumps([file.path for file in found.files])) < 128 * 1024
    assert any(reason.endswith("a path of 503 characters is too long") for reason in found.skipped)
    assert max(map(len, found.skipped)) < 200


def test_folders_without_files_are_counted_as_well(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "a" / "b" / "c").mkdir(parents=True)
    seen: list[bool] = []
    with opened(work) as descriptor:
        collect_files(descriptor, MIB, stopped=lambda: bool(seen.append(True)))
    assert len(seen) >= 3


@pytest.mark.parametrize("after", [0, 5])
def test_copying_stops_when_asked_and_leaves_no_half_of_a_file(tmp_path: Path, after: int) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    for name in "abc":
        (work / name).write_bytes(bytes(4 * MIB))
    asked: list[None] = []
    with opened(work) as descriptor:
        found = collect_files(
            descriptor, 99 * MIB, out, stopped=lambda: asked.append(None) is None and len(asked) > after
        )
    assert found.stopped
    assert "stopped" in found.skipped[-1]
    assert [path.stat().st_size for path in out.glob("[abc]")] == [4 * MIB] * len(found.files)
    assert len(found.files) < 3


def test_copies_are_for_the_user_alone_unless_their_folder_is_open_to_others(tmp_path: Path) -> None:
    closed, public = tmp_path / "closed", tmp_path / "public"
    public.mkdir()
    public.chmod(0o755)
    for out in (closed, public):
        left(tmp_path, out, a="a")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (closed, closed / "a", public / "a")]
    assert modes == [0o700, 0o600, 0o644]


@pytest.mark.parametrize("name", ["../a", "/a", "sub/../../a", "", ".", ".."])
def test_a_file_is_given_under_a_plain_name_only(tmp_path: Path, name: str) -> None:
    work, mine = tmp_path / "work", tmp_path / "mine"
    work.mkdir()
    mine.write_text("mine")
    with opened(work) as descriptor, pytest.raises(SandboxError, match="not a plain relative path"):
        deliver_files((AttachedFile(name, mine),), descriptor)
    assert sorted(os.listdir(tmp_path)) == ["mine", "work"]


def test_what_has_become_a_pipe_or_a_device_is_not_given(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with opened(tmp_path) as descriptor:
        for path in (tmp_path / "pipe", Path("/dev/zero")):
            with pytest.raises(SandboxError, match="no longer a regular file"):
                deliver_files((AttachedFile("a", path),), descriptor)


def ran(
    name: str,
    code: str,
    limits: Limits,
    collect: Path,
    given: RunInputs = NO_INPUTS,
    on_output: Callable[[str, str], None] | None = None,
) -> Outcome:
    there = tier("T1" if name == "checkpoints" else name)
    if there.choice is None:
        pytest.skip(f"{name} does not work here: {there.reason}")
    program = Program((Chunk(1, code),))
    if name != "checkpoints":
        return run_in(there.choice, program, limits, collect, on_output, given)
    with Worker(there.choice) as worker:
        return worker.run(program, limits, collect=collect, on_output=on_output, inputs=given)


def interrupted_once(happened: Callable[[], object]) -> threading.Thread:
    """A thread that presses Ctrl-C when something has happened."""

    def interrupt() -> None:
        while not happened():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


@pytest.mark.sandbox
@pytest.mark.parametrize("name", WAYS)
def test_ctrl_c_stops_the_copying_of_what_a_run_left(name: str, tmp_path: Path) -> None:
    code = "for n in range(16):\n    open(f'{n:02}', 'wb').truncate(64 << 20)"
    thread = interrupted_once(lambda: list(tmp_path.glob("out/*")))
    outcome = ran(name, code, Limits(disk_mib=1024), tmp_path / "out")
    thread.join()
    assert (outcome.limit, outcome.exit_code) == ("interrupted", 0)
    assert len(outcome.files) < 16
    assert "stopped" in outcome.skipped[-1]


@pytest.mark.sandbox
@pytest.mark.parametrize("name", WAYS)
def test_what_a_run_left_before_ctrl_c_is_handed_back(name: str, tmp_path: Path) -> None:
    code = "open('a.txt', 'w').write('so far')\nprint('x', flush=True)\nimport time\ntime.sleep(60)"
    heard = threading.Event()
    thread = interrupted_once(heard.is_set)
    outcome = ran(name, code, Limits(), tmp_path / "out", on_output=lambda stream, text: heard.set())
    thread.join()
    assert (outcome.limit, outcome.skipped) == ("interrupted", ())
    assert [file.path for file in outcome.files] == ["a.txt"]
    assert (tmp_path / "out" / "a.txt").read_text() == "so far"


@pytest.mark.sandbox
@pytest.mark.parametrize("name", WAYS)
def test_ctrl_c_stops_the_copying_of_attached_files(name: str, tmp_path: Path) -> None:
    """A file of a tebibyte that takes no disk; the program would print."""
    mine = tmp_path / "mine"
    with open(mine, "wb") as file:
        file.truncate(1 << 40)
    read = Path(f"/proc/{os.getpid()}/io")
    began = int(read.read_text().split()[1])
    thread = interrupted_once(lambda: int(read.read_text().split()[1]) > began + 20 * MIB)
    outcome = ran(name, "print(1)", Limits(), tmp_path / "out", RunInputs(files=(AttachedFile("a", mine),)))
    thread.join()
    assert (outcome.limit, outcome.stdout) == ("interrupted", "")


@pytest.mark.sandbox
@pytest.mark.parametrize("name", BACKENDS)
def test_many_sparse_files_fill_no_disk(name: str, tmp_path: Path) -> None:
    code = "for n in range(60):\n    open(f'{n:02}', 'wb').truncate(8 << 20)"
    outcome = ran(name, code, Limits(disk_mib=8), tmp_path / "out")
    assert outcome.ok
    assert sum(path.stat().st_size for path in tmp_path.glob("out/[0-9]*")) == 8 * MIB
