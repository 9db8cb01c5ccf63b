"""Cases that are functions, since they are about the host's own code or need more than one run."""

import io
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import mtchat
from mtchat.console.view import View
from mtchat.sandbox.backend import Backend
from mtchat.sandbox.backends import bubblewrap
from mtchat.sandbox.host import run_dir
from mtchat.sandbox.host.collect import collect_files
from mtchat.sandbox.host.execute import choose, run_in
from mtchat.sandbox.host.monitor import list_descendants
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from tests.sandbox.battery import arms
from tests.sandbox.battery.row import LIMITS, Arena

ROOT = Path(mtchat.__file__).parent.parent
SIGNS = "import os\nos.write(1, b'\\x1b]52;c;eA==\\x07\\x1b[6n\\xc2\\x9b31m\\n')"
MESSAGES = (
    (
        "bwrap: No permissions to create new namespace, likely because the kernel does not allow",
        "unprivileged",
    ),
    ("bwrap: Creating new namespace failed: Operation not permitted", "namespaces"),
    ("bwrap: setting up uid map: Permission denied", "AppArmor"),
)
MASKED = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"

FIND_MEMORY = (
    "import gc, mmap, os\nfound = [each for each in gc.get_objects() if isinstance(each, mmap.mmap)]"
)
FORGE = "for each in found:\n    each[4] = 1\n    each[32768:32772] = b'\\xff\\xff\\xff\\xff'\nos._exit(9)"
NOISE = "for each in found:\n    each[:] = os.urandom(len(each))\nos._exit(0)"
SPEAK = """\
import os, socket, stat
for number in range(3, 256):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            socket.socket(fileno=number).sendall(bytes(40))
            print('ESCAPED', number)
    except OSError:
        pass
print('asked')
os._exit(9)
"""

ORPHANS = """\
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(0.2 if _ % 2 else 30)
        os._exit(0)
time.sleep(0.4)
print('end')
"""

HOLD = """\
import os, time
open({mark!r}, 'w').write('secret')
print('up', os.getcwd(), flush=True)
time.sleep(4)
print('alive')
"""
MEET = """\
attempt('kill', os.kill, {pid}, 9)
attempt('memory', os.open, '/proc/{pid}/mem', os.O_RDONLY)
attempt('file', open, '{folder}/{mark}')
attempt('list', lambda: os.listdir('/proc/{pid}/cwd/'))
"""

READ_PROJECT = """\
import errno, os, sys
print('prefix', open(sys.prefix + '/pyvenv.cfg').read()[:4])
for name in ('pip.conf', '.env', 'sessions/mine.jsonl', 'lib/keys.txt'):
    try:
        print('ESCAPED', name, len(open(os.path.join(sys.prefix, name)).read()))
    except OSError as error:
        print(errno.errorcode[error.errno])
"""

STARTER = """\
import sys
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from mtchat.sandbox.host.execute import run_in
from tests.sandbox.battery.tiers import tier
program = Program((Chunk(1, sys.argv[2]),))
watch = lambda stream, text: print(text, flush=True)
ended = run_in(tier(sys.argv[1]).choice, program, Limits(60.0), on_output=watch)
print(ended.error)
"""


def started_anew(arena: Arena, code: str, python: str = sys.executable) -> "subprocess.Popen[str]":
    """A host of its own that runs some code in the same tier."""
    tool = getattr(getattr(arena.tier.choice, "variant", None), "tool", None)
    search = f"{tool.parent}:{os.environ['PATH']}" if tool else os.environ["PATH"]
    return subprocess.Popen(
        [python, "-c", STARTER, arena.tier.name, code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": search},
        cwd=arena.folder,
        stdout=subprocess.PIPE,
        text=True,
    )


def project_around_the_environment(arena: Arena) -> None:
    """An environment made in a project's own folder; it is Python's own link that says where."""
    prefix = arena.folder / "project"
    base = Path(sys.executable).resolve()
    secrets = ("pip.conf", ".env", "sessions/mine.jsonl", "lib/keys.txt")
    for name in ("bin/python", *secrets):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
    (prefix / "bin" / "python").symlink_to(base)
    (prefix / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    for name in secrets:
        (prefix / name).write_text(arena.bait.secret)
    arena.folder.chmod(0o755)
    with started_anew(arena, READ_PROJECT, str(prefix / "bin" / "python")) as host:
        said = host.communicate(timeout=30)[0].split()
    assert said[:2] == ["prefix", "home"]
    assert len(said) == 2 + len(secrets)
    assert {*said[2:]} <= {"ENOENT", "EACCES"}


def dies_with_its_host(arena: Arena) -> None:
    """A host is killed while a program of it runs; in tier 2 the run's folders on disk stay behind."""
    with started_anew(arena, "print('up')\nwhile True: pass") as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "up\n"
        inside = list_descendants(host.pid, 99)[1:]
        watched = [os.pidfd_open(pid) for pid in inside]
        host.kill()
        host.communicate()
    assert len(inside) >= 2
    for pid, descriptor in zip(inside, watched, strict=True):
        assert select.select([descriptor], [], [], 10)[0], f"process {pid} is left"
        os.close(descriptor)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    for folder in left_folders(host.pid):
        assert arena.tier.name == "T2"
        run_dir.remove_tree(folder)


def left_folders(pid: int) -> set[Path]:
    """What the runs of a process leave; other tests may run beside this one."""
    return {
        path
        for folder in {run_dir.FOR_ALL, os.environ.get("TMPDIR", "/tmp")}
        for path in Path(folder).glob(f"mtchat-{pid}-*")
    }


def exit_codes(arena: Arena) -> None:
    """What a program passes to exit is what the host learns."""
    rows = {"3": 3, "'text'": 1, "300": 44, "-1": 255, "None": 0, "True": 1}
    for value, expected in rows.items():
        outcome = arena.play(f"import sys\nsys.exit({value})")
        assert (outcome.exit_code, outcome.signal) == (expected, None), value


def exit_code_is_no_signal(arena: Arena) -> None:
    """137 is what a shell makes of SIGKILL."""
    left, killed = (
        arena.play(f"import os, sys\n{code}") for code in ("sys.exit(137)", "os.kill(os.getpid(), 9)")
    )
    assert (left.exit_code, left.signal) == (137, None)
    assert (killed.exit_code, killed.signal) == (None, signal.SIGKILL)


def shown_without_signs(arena: Arena) -> None:
    """Output arrives as it was printed; what is shown of it holds no sign that a terminal obeys."""
    raw = arena.play(SIGNS).stdout
    assert raw == "\x1b]52;c;eA==\x07\x1b[6n\x9b31m\n"
    out = io.StringIO()
    View(out, live=False, color=False).output(raw)
    assert out.getvalue().removesuffix("\n").isprintable()
    assert "31m" in out.getvalue()


def from_a_thread(arena: Arena) -> None:
    """bwrap dies with the thread that started it; a run stays in its thread, so threads may come and go."""
    said: list[str] = []

    def one(number: int) -> None:
        said.append(arena.play(f"import time\ntime.sleep(0.3)\nprint({number})").stdout)

    first = threading.Thread(target=one, args=(1,))
    first.start()
    threads = [threading.Thread(target=one, args=(number,)) for number in (2, 3)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in (first, *threads):
        thread.join()
    assert sorted(said) == ["1\n", "2\n", "3\n"]


def counted_for_root(arena: Arena) -> None:
    """The kernel counts no process of root, so what root starts must be someone else."""
    forks = (
        "import os, signal\ncount = 0\nwhile count < 150:\n    try:\n"
        "        if os.fork() == 0: signal.pause()\n"
        "    except OSError: break\n    count += 1\nprint(count, os.getuid())"
    )
    count, user = map(int, arena.play(forks).stdout.split())
    assert 10 < count < 70
    assert user != 0


def orphans_are_reaped(arena: Arena) -> None:
    """Orphans that end, and some that do not; the check after each case sees zombies too."""
    outcome = arena.play(ORPHANS, words=arms.words(arena.bait))
    assert (outcome.stdout, outcome.error) == ("end\n", "")
    assert outcome.seconds < 12


def traps_in_the_work_folder(arena: Arena) -> None:
    """A pipe, and a file that claims 10 GiB: neither is opened for reading nor copied."""
    work = arena.folder / "left"
    work.mkdir()
    os.mkfifo(work / "pipe.png")
    with open(work / "plot.png", "wb") as file:
        file.truncate(10 << 30)
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = collect_files(descriptor, LIMITS.disk_mib << 20, arena.folder / "taken")
    finally:
        os.close(descriptor)
    assert found.files == ()
    assert found.skipped == ("'pipe.png': a pipe", f"'plot.png': {10 << 30} bytes are too large")
    outcome = arena.play("import os\nos.mkfifo('plot.png')", collect=arena.folder / "more")
    assert outcome.skipped == ("'plot.png': a pipe",)


def forged_reports(arena: Arena) -> None:
    """The shared memory is the program's own word; the status is the kernel's, on a way of its own."""
    forged = arena.play(FIND_MEMORY, FORGE, "never = 1")
    assert forged.exit_code == 9
    assert not forged.ok
    spoken = arena.play(SPEAK)
    assert (spoken.stdout, spoken.exit_code) == ("asked\n", 9)
    noise = arena.play(FIND_MEMORY, NOISE)
    assert noise.exit_code == 0
    assert len(noise.error) < 2000


@contextmanager
def wrapped(folder: Path, script: str) -> Iterator[Backend]:
    """bubblewrap's backend, its tool a script that says what an odd host would; $REAL is the tool itself."""
    variants = bubblewrap.variants()
    folder.mkdir(exist_ok=True)
    tool = folder / "bwrap"
    tool.write_text(f"#!/bin/sh\nREAL={variants[0].tool}\n{script}\n")
    tool.chmod(0o755)
    yield cast(
        Backend,
        SimpleNamespace(
            RANK=1,
            variants=lambda: tuple(replace(each, tool=tool) for each in variants),
            prepare=bubblewrap.prepare,
            explain=bubblewrap.explain,
        ),
    )
    tool.unlink()


def masked_proc(arena: Arena) -> None:
    """A container that masks /proc: the next variant goes without, and holds programs all the same."""
    script = f'case " $* " in *" --proc "*) echo "{MASKED}" >&2; exit 1;; esac\nexec "$REAL" "$@"'
    with wrapped(arena.folder, script) as backend:
        choice = choose((backend,))
        assert choice.variant is not None
        assert "/proc" in choice.variant.without
        with_variables = Program((Chunk(1, "import os\nprint(os.path.exists('/proc/self'))\n1 / 0"),))
        outcome = run_in(choice, with_variables, LIMITS)
    assert (outcome.stdout, outcome.error) == (
        "False\n",
        "turn 1, line 3: ZeroDivisionError: division by zero",
    )


def refusals_are_told_apart(arena: Arena) -> None:
    """What bwrap says where it may not, as reason and fix; then the other tier is taken, never none."""
    for said, _ in MESSAGES:
        with wrapped(arena.folder / "odd", f'echo "{said}" >&2; exit 1') as backend:
            alone = choose((backend,)).probe
            assert not alone.ok
            assert alone.reason == said
            assert "AppArmor" in alone.fix if "uid map" in said else "namespaces" in alone.fix
            other = arena.tier.choice
            assert other is not None
            assert other.backend is not None
            both = choose((backend, other.backend)).probe
            assert both.ok
            assert both.tier == other.probe.tier
            assert both.reason == said


def two_at_once(arena: Arena) -> None:
    """While one run goes on, another that knows where it is cannot reach it."""
    choice = arena.tier.choice
    assert choice is not None
    mark = arena.bait.mark
    told: list[str] = []
    up = threading.Event()

    def heard(stream: str, text: str) -> None:
        told.append(text)
        up.set()

    code = HOLD.format(mark=mark)
    before = set(list_descendants(os.getpid(), 99))
    first = threading.Thread(
        target=run_in, args=(choice, Program((Chunk(1, code),)), Limits(20.0), None, heard)
    )
    first.start()
    assert up.wait(20)
    pid = max(set(list_descendants(os.getpid(), 99)) - before)
    folder = told[0].split()[1]
    words = arms.words(arena.bait)
    meeting = arena.play(MEET.format(pid=pid, folder=folder, mark=mark), words=words)
    first.join()
    assert "".join(told).endswith("alive\n")
    assert [line.split(": ")[0] for line in meeting.stdout.splitlines()] == ["kill", "memory", "file", "list"]
    refused = {"T1": {"ESRCH", "ENOENT"}, "T2": {"EPERM", "EACCES"}}[arena.tier.name]
    assert {line.split(": ")[1] for line in meeting.stdout.splitlines()} <= refused
