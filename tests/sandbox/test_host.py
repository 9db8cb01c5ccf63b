"""The host's side of the sandbox without a run: streams, reports, files, choice of a backend."""

import os
import selectors
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtchat.errors import SandboxError
from mtchat.sandbox.backend import LaunchCommand, LaunchRequest, Variant, backends
from mtchat.sandbox.backends import bubblewrap
from mtchat.sandbox.guest.program.chunks import choose_processors
from mtchat.sandbox.guest.wire import FAULT_AT, REPORT_AT, SHARED_BYTES
from mtchat.sandbox.host.collect import collect_files
from mtchat.sandbox.host.execute import choose, run_in
from mtchat.sandbox.host.interpreter import (
    LIBRARY,
    SYSTEM,
    Interpreter,
    find_interpreter,
    link_homes,
    python_parts,
)
from mtchat.sandbox.host.monitor import OutputStream, RunMonitor, measure_load
from mtchat.sandbox.host.outbox import LIST
from mtchat.sandbox.host.outcome import read_report
from mtchat.sandbox.policy import seccomp
from mtchat.session.program import Chunk, Location, Program
from mtchat.session.settings import Limits
from tests.support.filters import judged

MARK = b"0123456789"
ALLOW, EPERM, ENOSYS, EAFNOSUPPORT = seccomp.ALLOW, 0x50001, 0x50026, 0x50061


CALLS = [
    ("x86_64", 0xC000003E, (0, 0), ALLOW),
    ("x86_64", 0xC000003E, (101,), EPERM),
    ("x86_64", 0xC000003E, (435,), ENOSYS),
    ("x86_64", 0xC000003E, (0x40000027,), ENOSYS),
    ("x86_64", 0x40000003, (20,), seccomp.KILL),
    ("x86_64", 0xC000003E, (56, 0x1200011), ALLOW),
    ("x86_64", 0xC000003E, (56, 0x10000011), EPERM),
    ("x86_64", 0xC000003E, (16, 0, 0x5413), ALLOW),
    ("x86_64", 0xC000003E, (16, 0, 0x5412), EPERM),
    ("x86_64", 0xC000003E, (16, 0, 1 << 32 | 0x5412), EPERM),
    ("x86_64", 0xC000003E, (16, 0, 0x541C), EPERM),
    ("x86_64", 0xC000003E, (41, 1), ALLOW),
    ("x86_64", 0xC000003E, (41, 2), ALLOW),
    ("x86_64", 0xC000003E, (41, 10), ALLOW),
    ("x86_64", 0xC000003E, (41, 16), EAFNOSUPPORT),
    ("x86_64", 0xC000003E, (41, 40), EAFNOSUPPORT),
    ("x86_64", 0xC000003E, (53, 1), ALLOW),
    ("x86_64", 0xC000003E, (53, 2), EAFNOSUPPORT),
    ("x86_64", 0xC000003E, (231,), ALLOW),
    ("aarch64", 0xC00000B7, (63,), ALLOW),
    ("aarch64", 0xC00000B7, (117,), EPERM),
    ("aarch64", 0xC00000B7, (279,), ENOSYS),
    ("aarch64", 0xC00000B7, (198, 40), EAFNOSUPPORT),
    ("aarch64", 0xC00000B7, (220, 0x40000011), EPERM),
    ("aarch64", 0xC000003E, (63,), seccomp.KILL),
]


@pytest.mark.parametrize(("machine", "arch", "call", "result"), CALLS)
def test_the_filter_judges_calls(machine: str, arch: int, call: tuple[int, ...], result: int) -> None:
    assert judged(seccomp.make_filter(machine), arch, *call) == result


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(SandboxError, match="no system call table for vax"):
        seccomp.make_filter("vax")


PRINTED = b"one" + MARK + MARK + "zwei é".encode() + MARK + b"0123" + MARK[:4]


@pytest.mark.parametrize("size", range(1, len(PRINTED) + 1))
def test_a_stream_is_split_at_marks_however_it_arrives(size: int) -> None:
    shown: list[str] = []
    stream = OutputStream(MARK, 1000, shown.append, 3)
    for at in range(0, len(PRINTED), size):
        stream.feed(PRINTED[at : at + size])
    stream.close()
    assert stream.texts == ("one", "", "zwei é", "01230123")
    assert "".join(shown) == "onezwei é01230123"


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_marks_beyond_those_that_are_due_are_output(size: int) -> None:
    stream = OutputStream(MARK, 100, lambda text: None, 2)
    data = b"a" + MARK * 100
    for at in range(0, len(data), size):
        stream.feed(data[at : at + size])
    stream.close()
    assert stream.full
    assert [len(text) for text in stream.texts] == [1, 0, 99]


def test_a_cap_below_what_was_printed_before_takes_nothing_more() -> None:
    stream = OutputStream(MARK, 5, lambda text: None, 2)
    stream.taken = 9
    stream.feed(b"abcdefgh")
    assert (stream.texts, stream.taken, stream.full) == (("",), 9, True)


def test_a_stream_ends_at_its_cap() -> None:
    stream = OutputStream(MARK, 5, lambda text: None, 9)
    stream.feed(b"abc" + MARK + b"def")
    stream.feed(b"ghi")
    stream.close()
    assert (stream.texts, stream.full) == (("abc", "de"), True)


def test_a_stream_that_fills_its_cap_exactly_is_whole() -> None:
    stream = OutputStream(b"", 3, lambda text: None, 9)
    stream.feed(b"abc")
    assert not stream.full


def memory(*fields: str, began: int = 1, finished: bool = False, fault: str = "") -> bytes:
    blob = b"".join(len(data).to_bytes(4, "little") + data for data in (field.encode() for field in fields))
    made = bytearray(SHARED_BYTES)
    made[:5] = began.to_bytes(4, "little") + bytes([finished])
    made[FAULT_AT : FAULT_AT + len(fault)] = fault.encode()
    made[REPORT_AT : REPORT_AT + 4 + len(blob)] = len(blob).to_bytes(4, "little") + blob
    return bytes(made)


TWO = Program((Chunk(1, "x = 1"), Chunk(2, "f()")))


def test_a_report_gives_headline_and_frames() -> None:
    report = read_report(
        memory("raised", "", "E: no\nreally", "T\n", "1", "1", "<module>", "f()", began=2), TWO
    )
    assert (report.index, report.how, report.headline) == (1, "raised", "E: no really")
    assert [frame.place for frame in report.frames] == [Location(2, 1)]


FORGERIES = [
    ("raised", "", "E", "", "7", "1", "f", ""),
    ("raised", "", "E", "", "-1", "1", "f", ""),
    ("raised", "", "E", "", "1", "9" * 5000, "f", ""),
    ("raised", "", "E", "", "²", "1", "f", ""),
    ("raised", "", "E", "", "1"),
]


@pytest.mark.parametrize("fields", FORGERIES)
def test_a_frame_that_is_none_of_ours_is_left_out(fields: tuple[str, ...]) -> None:
    assert [frame.place for frame in read_report(memory(*fields), TWO).frames] == [Location(1, 1)]


def test_what_a_report_says_is_short_however_long_it_is() -> None:
    frames = ("0", "1", "f" * 9000, "t" * 9000) * 3
    said = memory("raised", "", "E" * 60_000, "line\n" * 900 + "l" * 60_000, "", "s" * 9000, *frames)
    report = read_report(said, TWO)
    assert (len(report.headline), len(report.subject)) == (400, 400)
    assert len(report.traceback.splitlines()) <= 62
    assert max(map(len, report.traceback.splitlines())) <= 240
    assert [(len(frame.function), len(frame.text)) for frame in report.frames] == [(100, 240)] * 3


@pytest.mark.parametrize("line", [3, 1 << 28])
def test_a_frame_at_a_line_that_its_turn_does_not_have_is_left_out(line: int) -> None:
    report = read_report(memory("raised", "", "E", "", "", "", "1", str(line), "f", "", began=2), TWO)
    assert [frame.place for frame in report.frames] == [Location(2, 1)]


@pytest.mark.parametrize(("began", "finished"), [(0, True), (1, False), (2, True), (9, True)])
def test_a_program_is_finished_only_where_its_last_turn_began(began: int, finished: bool) -> None:
    assert read_report(memory(began=began, finished=True), TWO).finished == finished


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_read_without_harm(seed: int) -> None:
    noise = bytes((seed * 7919 + at * at * 31) % 256 for at in range(4096)) * (SHARED_BYTES // 4096)
    assert len(read_report(noise, TWO).frames) <= 50


def test_a_fault_gives_the_programs_frames_outermost_first() -> None:
    places = ('"/lib/x.py", line 3 in g', '"<turn 1>", line 1 in f', '"<turn 2>", line 1 in <module>')
    fault = "Fatal\n" + "".join(f"  File {place}\n" for place in places)
    report = read_report(memory(began=2, fault=fault), TWO)
    assert [frame.place.turn for frame in report.frames] == [2, 1]
    assert report.traceback.splitlines()[1:3] == ['  File "<turn 2>", line 1, in <module>', "    f()"]


@pytest.fixture
def left(tmp_path: Path) -> Iterator[int]:
    """An open folder with what a program may leave."""
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "a.txt").write_text("a")
    (work / "sub" / "b.txt").write_text("bb")
    (work / "large").write_bytes(bytes(100))
    (work / "link").symlink_to("/etc/passwd")
    (work / "loop").symlink_to(".")
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(work / "socket"))
    descriptor = os.open(work, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_only_regular_files_are_taken(left: int, tmp_path: Path) -> None:
    found = collect_files(left, 50, tmp_path / "out")
    assert [(file.path, file.size) for file in found.files] == [("a.txt", 1), ("sub/b.txt", 2)]
    assert found.skipped == (
        "'large': 100 bytes are too large",
        "'link': a link",
        "'loop': a link",
        "'pipe': a pipe",
        "'socket': a socket",
    )
    assert (tmp_path / "out" / "sub" / "b.txt").read_text() == "bb"
    assert sorted(os.listdir(tmp_path / "out")) == [LIST, "a.txt", "sub"]


def test_nothing_is_copied_without_a_place_for_it(left: int, tmp_path: Path) -> None:
    assert len(collect_files(left, 50).files) == 2
    assert os.listdir(tmp_path) == ["work"]


def test_links_in_the_place_for_copies_lead_nowhere(left: int, tmp_path: Path) -> None:
    out, aside = tmp_path / "out", tmp_path / "aside"
    for folder in (out, aside):
        folder.mkdir()
    (aside / "kept").write_text("kept")
    (out / "a.txt").symlink_to(aside / "kept")
    (out / "sub").symlink_to(aside)
    found = collect_files(left, 50, out)
    assert found.files == ()
    assert f"'a.txt': in {out} that name belongs to a link; move it away" in found.skipped
    assert "'sub/b.txt': Not a directory" in found.skipped
    assert (out / "a.txt").is_symlink()
    assert os.listdir(aside) == ["kept"]
    assert (aside / "kept").read_text() == "kept"


def test_a_second_run_replaces_what_the_first_left(left: int, tmp_path: Path) -> None:
    for _ in range(2):
        collect_files(left, 50, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


class Broken:
    """A backend that has something to try, which fails."""

    RANK = 1

    def __init__(self, *argv: str) -> None:
        self.argv = argv

    def variants(self) -> tuple[Variant, ...]:
        return (Variant("broken"),)

    @contextmanager
    def prepare(self, variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
        yield LaunchCommand(self.argv, {}, (request.control, request.shared))

    def explain(self, wrote: str) -> tuple[str, str]:
        return f"it wrote {wrote.strip()!r}", "mend it"


class Absent(Broken):
    """A backend that has nothing to try."""

    def variants(self) -> tuple[Variant, ...]:
        raise SandboxError("it is not here; fetch it")


@pytest.mark.sandbox
@pytest.mark.parametrize("words", ["echo no >&2", "echo no >&2; exec sleep 0", "echo no >&2; kill -9 $$"])
def test_a_backend_that_fails_is_a_reason_and_a_fix(words: str) -> None:
    found = choose((Broken("/bin/sh", "-c", words),))
    assert not found.probe.ok
    assert (found.probe.reason, found.probe.fix) == ("it wrote 'no'", "mend it")


def test_a_backend_that_is_not_there_is_passed_over() -> None:
    found = choose((Absent(), Absent()))
    assert (found.probe.ok, found.probe.reason, found.probe.fix) == (False, "it is not here", "fetch it")


def test_without_a_sandbox_nothing_is_run() -> None:
    with pytest.raises(SandboxError, match="no sandbox works on this machine: it is not here; fetch it"):
        run_in(choose((Absent(),)), TWO, Limits())


def test_backends_keep_the_contract() -> None:
    found = backends()
    assert bubblewrap in found
    for backend in found:
        assert isinstance(backend.RANK, int)
        assert callable(backend.variants)
        assert callable(backend.prepare)
        assert callable(backend.explain)


SAID = [
    ("bwrap: No permissions to create a new namespace, likely because", "allow user namespaces"),
    ("bwrap: setting up uid map: Permission denied", "AppArmor"),
    ("bwrap: Can't find source path /x: Permission denied", "where your user can read"),
    ("noise\nbwrap: odd\n", "install bubblewrap"),
]


@pytest.mark.parametrize(("wrote", "fix"), SAID)
def test_what_bwrap_says_is_explained(wrote: str, fix: str) -> None:
    reason, found = bubblewrap.explain(wrote)
    assert reason.startswith("bwrap: ")
    assert fix in found


def test_versions_compare_as_numbers() -> None:
    assert (
        bubblewrap.version_numbers("0.11.0") > bubblewrap.version_numbers("0.8.0") >= bubblewrap.OLDEST > ()
    )


def test_the_command_line_ends_with_the_read_only_root() -> None:
    words = bubblewrap.arguments(
        Variant("bwrap", Path("/usr/bin/bwrap")), LaunchRequest(3, 4, Limits(disk_mib=2)), 5, 6
    )
    options = words[: words.index("--")]
    last_mount = max(
        at for at, word in enumerate(options) if word.endswith(("bind", "tmpfs", "symlink", "dev"))
    )
    assert options.index("--remount-ro") + 3 == len(options) - 6
    assert last_mount <= options.index("--remount-ro") + 1
    assert ("--size", str(2 << 20), "--tmpfs", find_interpreter().work) in zip(
        *(words[n:] for n in range(4)), strict=False
    )
    assert "--proc" in options
    masked = Variant("bwrap", Path("/usr/bin/bwrap"), without=frozenset({"/proc"}))
    assert "--proc" not in bubblewrap.arguments(masked, LaunchRequest(3, 4, Limits()), 5, 6)


def test_the_work_folder_hides_nothing_that_python_needs() -> None:
    assert Interpreter("", "", (Path("/opt/x"),), ()).work == "/work"
    assert Interpreter("", "", (Path("/work/x/.venv"), Path("/sandbox")), ()).work == "/program"


@pytest.mark.parametrize("conda", [False, True])
def test_of_an_environment_only_what_is_pythons_is_shown(tmp_path: Path, conda: bool) -> None:
    """An environment may be made in a project's own folder."""
    there = ["bin/python", f"lib/{LIBRARY}/site-packages/a.py", "lib/libpython3.so", "pyvenv.cfg"]
    beside = [
        ".env",
        "pip.conf",
        "sessions/a.jsonl",
        "etc/keys",
        "share/keyrings/k",
        "notes.txt",
        ".git/config",
    ]
    of_conda = ["lib/other/b.so", "share/proj/proj.db"]
    for name in (*there, *beside, *of_conda):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if conda:
        (tmp_path / "conda-meta").mkdir()
    shown = python_parts(tmp_path)
    seen = {
        name
        for name in (*there, *beside, *of_conda)
        if any((tmp_path / name).is_relative_to(part) for part in shown)
    }
    assert seen == {*there, *(("share/keyrings/k", *of_conda) if conda else ())}


def test_what_python_needs_is_shown() -> None:
    python = find_interpreter()
    shown = (*python.roots, *SYSTEM)
    for needed in (python.python, os.__file__, os.path.realpath(python.python), *python.folders):
        assert any(Path(needed).is_relative_to(root) for root in shown), needed
    assert Path(python.prefix) not in shown


def test_a_tree_is_counted() -> None:
    found = measure_load(os.getpid(), 1e9, 100)
    assert found.processes >= 1
    assert found.memory_mib > 1


def test_a_link_to_python_shows_nothing_of_the_folder_that_it_lies_in(tmp_path: Path) -> None:
    link = tmp_path / "bin" / "python"
    link.parent.mkdir()
    link.symlink_to(sys.executable)
    assert tmp_path not in link_homes(link)
    assert Path(sys.base_prefix) in [path.resolve() for path in link_homes(link)]


def test_an_interrupt_while_the_last_output_is_shown_does_not_escape() -> None:
    def shown(stream: str, text: str) -> None:
        raise KeyboardInterrupt

    class Alone(RunMonitor):
        def on_message(self, key: selectors.SelectorKey) -> None: ...

        def abort(self) -> bool:
            return False

        def kill(self) -> None: ...

    watching = Alone(os.getpid(), b"\nmark", Limits(), shown, lambda: False)
    with pytest.raises(KeyboardInterrupt):
        watching.out.feed(b"1\n")
    with watching.selector:
        watching.follow()
    assert watching.out.texts == ("1\n",)


@pytest.mark.parametrize(
    ("start", "few"), [(0, [0, 1, 2, 3]), (9, [1, 2, 3, 4]), (6, [0, 1, 6, 7]), (65535, [0, 1, 2, 7])]
)
def test_a_run_sees_four_processors_from_anywhere_on(start: int, few: list[int]) -> None:
    assert choose_processors(list(range(8)), start) == few
    assert choose_processors([3], start) == [3]
