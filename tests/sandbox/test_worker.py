"""The worker: which snapshots it keeps, when turns run again, and what it evicts."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.errors import SandboxError
from mtchat.sandbox.checkpoints.checkpoint_sandbox import fingerprint
from mtchat.sandbox.checkpoints.snapshots import (
    MOST_SNAPSHOTS,
    ChunkPiece,
    Snapshot,
    SnapshotCache,
    leading_imports,
    make_plan,
)
from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.guest.launch.workdir_copy import FolderCopy
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.monitor import list_descendants
from mtchat.session.outcome import Outcome
from mtchat.session.program import AttachedFile, Chunk, Program, RunInputs
from mtchat.session.settings import Limits
from tests.sandbox.battery.leaks import descriptors, nothing_new, processes

pytestmark = pytest.mark.sandbox
LIMITS = Limits(seconds=10.0, memory_mib=256, output_kib=64, disk_mib=16)


def program(*codes: str) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))


@pytest.fixture
def worker() -> Iterator[Worker]:
    if not execute.probe().ok:
        pytest.skip(f"no sandbox works on this machine: {execute.probe().reason}")
    variant = execute.choose_backend().variant
    if variant is None or not variant.checkpoints:
        pytest.skip(f"{execute.probe().tier} keeps no states")
    with nothing_new(lambda: processes() | descriptors()), Worker() as made:
        yield made


def test_a_new_turn_runs_only_its_own_chunk(worker: Worker) -> None:
    first = worker.run(program("print('once')\nx = 1"), LIMITS)
    heard: list[str] = []
    second = worker.run(
        program("print('once')\nx = 1", "print(x + 1)"),
        LIMITS,
        on_output=lambda name, text: heard.append(text),
    )
    assert (first.resumed, second.resumed) == (0, 1)
    assert second.outputs == ("once\n", "2\n")
    assert "".join(heard) == "2\n"


def test_an_undo_and_a_branch_resume_from_what_they_share(worker: Worker) -> None:
    base = ("x = [1]", "x.append(2)")
    assert worker.run(program(*base, "x.clear()"), LIMITS).ok
    assert worker.run(program(*base, "print(x)"), LIMITS).stdout == "[1, 2]\n"
    again = worker.run(program(base[0], "print(x)"), LIMITS)
    assert (again.stdout, again.resumed) == ("[1]\n", 1)


def test_an_edit_runs_again_only_what_follows_it(worker: Worker) -> None:
    worker.run(program("x = 1", "y = 2", "print(x + y)"), LIMITS)
    edited = worker.run(program("x = 1", "y = 5", "print(x + y)"), LIMITS)
    assert (edited.stdout, edited.resumed, edited.note) == ("6\n", 1, "")


def test_imports_at_the_head_of_a_chunk_are_kept_alone(worker: Worker) -> None:
    slow = "import numpy\nx = {}\nprint(x, numpy.pi > 3)"
    pytest.importorskip("numpy")
    worker.run(program(slow.format(1)), LIMITS)
    sandbox = worker.sandbox
    assert sandbox is not None
    heads = [key for key in worker.snapshots.alive if key and not key[-1].complete]
    assert [key[-1].text for key in heads] == ["import numpy"]
    started = time.perf_counter()
    assert worker.run(program(slow.format(2)), LIMITS).stdout == "2 True\n"
    assert time.perf_counter() - started < 20


def test_a_failed_turn_leaves_the_state_before_it_alive(worker: Worker) -> None:
    worker.run(program("x = 1"), LIMITS)
    failed = worker.run(program("x = 1", "x = 2\n1 / 0"), LIMITS)
    assert failed.error == "turn 2, line 2: ZeroDivisionError: division by zero"
    assert worker.run(program("x = 1", "print(x)"), LIMITS).stdout == "1\n"


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("while True: pass", "seconds"),
        ("print('x' * 100_000)", "output"),
        ("x = bytearray(10 ** 10)", "memory"),
        ("import os\nfor _ in range(4): os.fork()", ""),
        ("import os\nos._exit(3)", ""),
        ("import os\nos.abort()", ""),
        ("import ctypes\nctypes.string_at(0)", ""),
        ("import os\nos.kill(-1, 9)", ""),
        ("import os\nos.kill(os.getppid(), 9)", ""),
        ("import os\nos.closerange(0, 256)", ""),
    ],
)
def test_the_worker_outlives_what_a_turn_does(worker: Worker, code: str, limit: str) -> None:
    worker.run(program("x = 41"), LIMITS)
    met = worker.run(program("x = 41", code), replace(LIMITS, seconds=1.0) if limit == "seconds" else LIMITS)
    assert met.limit == limit
    after = worker.run(program("x = 41", "print(x + 1)"), LIMITS)
    assert (after.stdout, after.resumed) == ("42\n", 0 if "kill(-1" in code else 1)


@pytest.mark.parametrize(
    ("code", "after", "why"),
    [
        ("f = open('f', 'w')\nf.write('a')", "f.write('b')\nprint(f.tell())", "keeps a file open"),
        (
            "import threading\ne = threading.Event()\nt = threading.Thread(target=e.wait)\nt.start()",
            "e.set()\nt.join()\nprint('joined')",
            "keeps a thread running",
        ),
        (
            "import subprocess\np = subprocess.Popen(['cat'], stdin=-1, stdout=-1)",
            "print(p.communicate(b'cat')[0].decode())",
            "keeps a process running",
        ),
        ("import os\nme = os.getpid()", "print(me == os.getpid())", "reads its process ID"),
        (
            "import mmap\nm = mmap.mmap(-1, 8)\nm[0] = 65",
            "print(m[:1])\nm[0] = 66",
            "shares memory",
        ),
        (
            "import signal\nsignal.setitimer(signal.ITIMER_REAL, 50)",
            "print(signal.getitimer(signal.ITIMER_REAL)[0] > 0)",
            "keeps a timer running",
        ),
        (
            "import socket\na, b = socket.socketpair()\na.send(b'x')",
            "print(b.recv(1))",
            "keeps a connection open",
        ),
        ("import os\nos.mkfifo('pipe')", "print(os.listdir())", "leaves files that cannot be copied"),
    ],
)
def test_what_cannot_be_forked_runs_again_and_is_named(
    worker: Worker, code: str, after: str, why: str
) -> None:
    limits = replace(LIMITS, seconds=3.0)  # which the thread that waits takes whole
    worker.run(program("x = 1", code), limits)
    met = worker.run(program("x = 1", code, after), limits)
    true = execute.run(program("x = 1", code, after), limits)
    assert (met.stdout, met.error) == (true.stdout, true.error)
    assert met.note == f"turn 2 {why}, so turn 2 ran again"
    assert met.resumed == 1


def test_files_are_part_of_a_state(worker: Worker, tmp_path: Path) -> None:
    first = "open('a.txt', 'w').write('one')"
    worker.run(program(first), LIMITS)
    worker.run(program(first, "open('a.txt', 'a').write(' two')\nopen('b.txt', 'w').close()"), LIMITS)
    met = worker.run(program(first, "import os\nprint(open('a.txt').read(), os.listdir())"), LIMITS)
    assert met.stdout == "one ['a.txt']\n"
    worker.run(program(first, "import os\nos.remove('a.txt')"), LIMITS)
    kept = worker.run(program(first, "pass"), LIMITS, collect=tmp_path)
    assert [file.path for file in kept.files] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "one"


def test_figures_left_open_are_saved_at_the_end_of_each_run(worker: Worker) -> None:
    pytest.importorskip("matplotlib")
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"
    for codes in ((plot,), (plot, "plt.title('t')"), (plot, "plt.title('u')", "plt.show()")):
        met = worker.run(program(*codes), Limits())
        assert met.error == ""
        assert [file.path for file in met.files] == ["figure-1.png"]


def test_attached_files_are_there_and_do_not_count_as_written(worker: Worker, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("a,b\n1,2\n")
    given = RunInputs(files=(AttachedFile("data.csv", data),))
    read = "print(open('data.csv').read())"
    assert worker.run(program(read), LIMITS, inputs=given).stdout == "a,b\n1,2\n\n"
    spoilt = worker.run(program(read, "open('data.csv', 'w').write('gone')"), LIMITS, inputs=given)
    assert [file.path for file in spoilt.files] == ["data.csv"]
    again = worker.run(program(read, "print(open('data.csv').read())"), LIMITS, inputs=given)
    assert (again.outputs[1], again.files) == ("a,b\n1,2\n\n", ())
    data.write_text("changed")
    assert worker.run(program(read), LIMITS, inputs=given).stdout == "changed\n"
    data.unlink()
    with pytest.raises(SandboxError, match=r"data\.csv"):
        worker.run(program(read), LIMITS, inputs=given)


def test_arguments_and_input_start_from_nothing(worker: Worker, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("typed\n")
    met = worker.run(
        program("import sys\nprint(sys.argv, input())"), LIMITS, inputs=RunInputs(("a", "b"), lines)
    )
    assert met.stdout == "['main.py', 'a', 'b'] typed\n"


def test_a_look_describes_the_variables_and_changes_nothing(worker: Worker) -> None:
    codes = ("x = [1, 2]\ndef f(a, b): ...\nword = 'a' * 1000\nbig = 10 ** 5000",)
    met = worker.run(program(*codes), LIMITS, with_variables=True)
    found = {each.name: (each.kind, each.shape, each.value) for each in met.variables}
    assert found["x"] == ("list", "2", "[1, 2]")
    assert found["f"] == ("function", "", "f(a, b)")
    assert found["word"][:2] == ("str", "1000")
    assert len(found["word"][2]) <= 160
    assert found["big"][2] == "an integer of 16610 bits"
    assert worker.run(program(*codes, "print(x)"), LIMITS).stdout == "[1, 2]\n"


def test_a_value_that_will_not_be_described_is_bounded(worker: Worker) -> None:
    code = (
        "class Bad:\n    def __repr__(self): raise OSError('no')\nclass Endless:\n    def __repr__(self):\n"
    )
    code += "        while True: pass\nbad, endless = Bad(), Endless()"
    limits = Limits(seconds=1.0, memory_mib=256, disk_mib=16)
    met = worker.run(program(code), limits, with_variables=True)
    assert met.limit == "seconds"
    assert worker.run(
        program(code.replace("bad, endless = Bad(), Endless()", "bad = Bad()")), limits, with_variables=True
    )


def test_without_keep_nothing_is_left_behind(worker: Worker) -> None:
    worker.run(program("x = 1"), LIMITS)
    count = len(worker.snapshots.alive)
    for number in range(8):
        met = worker.run(program("x = 1", f"print(x + {number})"), LIMITS, keep=False)
        assert (met.stdout, met.resumed) == (f"{1 + number}\n", 1)
    assert len(worker.snapshots.alive) == count


def test_states_are_bounded_in_number_and_none_is_left_over(worker: Worker) -> None:
    for number in range(2 * MOST_SNAPSHOTS):
        assert worker.run(program("x = 1", f"y = {number}"), LIMITS).ok
    assert len(worker.snapshots.alive) <= MOST_SNAPSHOTS
    assert worker.sandbox is not None
    root, wanted = worker.sandbox.process.pid, 2 + len(worker.snapshots.alive)  # bwrap, pid 1 and the states
    until = time.monotonic() + 5
    while len(list_descendants(root, 100)) != wanted and time.monotonic() < until:
        time.sleep(0.01)
    assert len(list_descendants(root, 100)) == wanted


def test_programs_can_be_forgotten_but_not_what_only_imports(worker: Worker) -> None:
    codes = ("# Libraries.\nimport json, re", "x = 1", "print(x)")
    worker.run(program(*codes), LIMITS)
    assert sorted(map(len, worker.snapshots.alive)) == [0, 1, 2, 3]
    worker.forget_programs()
    assert sorted(map(len, worker.snapshots.alive)) == [0, 1]
    again = worker.run(program(*codes), LIMITS)
    assert (again.resumed, again.outputs) == (1, ("", "", "1\n"))


def test_states_are_bounded_in_memory(worker: Worker) -> None:
    for number in range(6):
        met = worker.run(program(f"x = bytearray(b'{number}' * (100 << 20))"), LIMITS)
        assert met.error == ""
    assert len(worker.snapshots.alive) <= 4


def test_another_limit_makes_another_sandbox(worker: Worker) -> None:
    worker.run(program("x = 1"), LIMITS)
    tight = Limits(seconds=10.0, memory_mib=128, output_kib=64, disk_mib=16)
    met = worker.run(program("x = 1", "y = bytearray(150 << 20)"), tight)
    assert met.limit == "memory"
    assert "128 MiB" in met.error


def test_a_killed_sandbox_is_started_again(worker: Worker) -> None:
    worker.run(program("x = 1"), LIMITS)
    assert worker.sandbox is not None
    worker.sandbox.process.kill()
    worker.sandbox.process.wait()
    met = worker.run(program("x = 1", "print(x)"), LIMITS)
    assert (met.stdout, met.resumed) == ("1\n", 0)


def test_a_killed_state_is_replaced(worker: Worker) -> None:
    worker.run(program("x = 1", "y = 2"), LIMITS)
    for state in list(worker.snapshots.alive.values()):
        if len(state.key) == 2:
            os.kill(state.pid, signal.SIGKILL)
    met = worker.run(program("x = 1", "y = 2", "print(x + y)"), LIMITS)
    assert (met.stdout, met.error) == ("3\n", "")


def test_between_runs_no_state_uses_the_processor(worker: Worker) -> None:
    worker.run(program("x = 1", "y = 2"), LIMITS)
    assert worker.sandbox is not None
    until = time.monotonic() + 5
    while set(map(kind, worker.sandbox.snapshot_pids)) != {"T"} and time.monotonic() < until:
        time.sleep(0.01)
    assert set(map(kind, worker.sandbox.snapshot_pids)) == {"T"}


def kind(pid: int) -> str:
    """What a process does, in the kernel's letter: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_two_workers_do_not_disturb_each_other(worker: Worker) -> None:
    with Worker() as other:
        said: list[Outcome] = []
        thread = threading.Thread(
            target=lambda: said.extend(other.run(program("x = 2", "print(x)"), LIMITS) for _ in range(5))
        )
        thread.start()
        mine = [worker.run(program("x = 1", "print(x)"), LIMITS) for _ in range(5)]
        thread.join()
    assert {each.stdout for each in mine} == {"1\n"}
    assert {each.stdout for each in said} == {"2\n"}


def test_a_sandbox_started_by_a_thread_that_ended_does_no_harm(worker: Worker) -> None:
    starter = threading.Thread(target=lambda: worker.run(program("x = 1"), LIMITS))
    starter.start()
    starter.join()
    time.sleep(0.2)
    met = worker.run(program("x = 1", "print(x)"), LIMITS)
    assert (met.stdout, met.error) == ("1\n", "")


def test_ctrl_c_stops_only_the_program(worker: Worker) -> None:
    worker.run(program("x = 1"), LIMITS)

    def heard(stream: str, text: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    endless = "print('on', flush=True)\nwhile True: pass"
    met = worker.run(program("x = 1", endless), LIMITS, on_output=heard)
    assert met.limit == "interrupted"
    assert worker.run(program("x = 1", "print(x)"), LIMITS).resumed == 1


def test_imports_are_found_at_the_head_of_a_chunk_only() -> None:
    assert leading_imports("import a\nfrom b import c\nx = 1") == (2, "import a\nfrom b import c")
    assert leading_imports("import a") == (0, "")
    assert leading_imports("x = 1\nimport a") == (0, "")
    assert leading_imports("import a\n'a docstring if it came first'\nx = 1") == (0, "")
    assert leading_imports("import a\ndef broken(:") == (0, "")


def test_what_is_given_up_first() -> None:
    def state(*texts: str, seconds: float) -> Snapshot:
        key = tuple(ChunkPiece("", text) for text in texts)
        return Snapshot(key, 0, 0, None, 0, seconds=seconds)  # type: ignore[arg-type]

    states = SnapshotCache()
    made = [
        state(seconds=0.0),
        state("a", seconds=2.0),
        state("a", "b", seconds=0.001),
        state("a", "b", "c", seconds=0.001),
        state("z", seconds=9.0),
    ]
    for each in made:
        states.add(each)
    gone = []
    while (victim := states.least_useful(made[3].key)) is not None:
        gone.append([piece.text for piece in victim.key])
        del states.alive[victim.key]
    assert gone == [["z"], ["a", "b"], ["a"]]


def test_a_plan_prefers_the_longest_prefix() -> None:
    wanted = make_plan(program("import a\nx = 1", "y = 2"))
    lengths = [[piece.complete for piece in key] for key in wanted.candidates()]
    assert lengths == [[True, True], [True], [False], []]


def test_what_was_in_a_folder_before_any_program_is_left_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        (folder / "mounted").mkdir(parents=True)
    (source / "mounted" / "theirs").touch()
    (source / "new").write_text("new")
    (target / "old").touch()
    FolderCopy({"mounted"}).make_equal(str(source), str(target))
    assert sorted(path.name for path in target.rglob("*")) == ["mounted", "new"]
    folder = os.open(source, os.O_RDONLY)
    try:
        assert [entry[1] for entry in fingerprint([folder], [{"mounted"}])] == ["new"]
        assert len(fingerprint([folder], [set()])) == 3
    finally:
        os.close(folder)
