"""The reduced sandbox: hostile programs without namespaces, and nothing left of a run."""

import contextlib
import glob
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtchat.errors import SandboxError
from mtchat.sandbox.backends import landlock
from mtchat.sandbox.host import run_dir
from mtchat.sandbox.host.execute import BackendChoice, NoSandbox, choose, run_in
from mtchat.sandbox.host.interpreter import Interpreter, find_interpreter
from mtchat.sandbox.host.monitor import list_children
from mtchat.sandbox.host.run_dir import DiskMeter, make_folders, measure_disk, remove_abandoned, remove_tree
from mtchat.sandbox.policy import landlock_rules
from mtchat.sandbox.policy.landlock_rules import READING
from mtchat.sandbox.policy.rlimits import USERS
from mtchat.session.outcome import NOTES, Outcome, Reason
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from tests.sandbox.battery.leaks import KINDS_OPENED, descriptors, nothing_new, processes

pytestmark = pytest.mark.sandbox
LIMITS = Limits(seconds=20.0, memory_mib=256, output_kib=64, disk_mib=16)
FOUND = choose((landlock,))  # type: ignore[arg-type]
OPEN = choose((NoSandbox(),))
ROOT = os.geteuid() == 0


def play(
    *codes: str, limits: Limits = LIMITS, collect: Path | None = None, where: BackendChoice = FOUND
) -> Outcome:
    chunks = (Chunk(turn, code) for turn, code in enumerate(codes, start=1))
    return run_in(where, Program(tuple(chunks)), limits, collect)


def left(pid: int = os.getpid()) -> list[str]:
    """The folders of a process's runs that are on the disk now."""
    return sorted(
        path for place in {tempfile.gettempdir(), "/tmp"} for path in glob.glob(f"{place}/mtchat-{pid}-*")
    )


def ours() -> set[str]:
    """Our child processes, zombies too, our open files of the kinds that a run opens, and its folders."""
    return processes() | descriptors(KINDS_OPENED) | set(left())


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    if not FOUND.probe.ok:
        pytest.skip(f"no Landlock here: {FOUND.probe.reason}")
    with nothing_new(ours):
        yield


@dataclass(frozen=True)
class Bait:
    """What an attack would find on the host if nothing held it."""

    folder: Path
    port: int
    pid: int
    abstract: str


@pytest.fixture
def bait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bait]:
    """A key, sockets that listen, a process and a secret; afterwards none is touched."""
    monkeypatch.setenv("BAIT_TOKEN", "bait-secret")
    key = tmp_path / "key"
    key.write_text("bait-secret")
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        if ROOT and folder != Path("/tmp"):
            folder.chmod(0o755)
    key.chmod(0o666)
    status = key.stat()
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        local, hidden = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        local.bind(str(tmp_path / "socket"))
        (tmp_path / "socket").chmod(0o777)
        mail = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        mail.bind(str(tmp_path / "mail"))
        (tmp_path / "mail").chmod(0o777)
        name = f"mtchat-bait-{os.getpid()}"
        hidden.bind("\0" + name)
        for listener in (local, hidden):
            listener.listen()
        victim = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
        yield Bait(tmp_path, tcp.getsockname()[1], victim.pid, name)
        for listener in (tcp, local, hidden):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
        for receiver in (udp, mail):
            receiver.setblocking(False)
            with pytest.raises(BlockingIOError):
                receiver.recv(9)
        assert victim.poll() is None
        assert os.getpriority(os.PRIO_PROCESS, victim.pid) == os.getpriority(os.PRIO_PROCESS, 0)
        victim.communicate(b"\n")
    assert key.read_text() == "bait-secret"
    now = key.stat()
    assert (now.st_mode, now.st_uid, now.st_mtime_ns) == (status.st_mode, status.st_uid, status.st_mtime_ns)


# Each with what it does where nothing holds it, so that a refusal means something; "" where another user's
# ordinary rights refuse it too when root starts the run.
ATTEMPTS = [
    ("print(open('{folder}/key').read())", "bait-secret"),
    ("import os\nprint(os.listdir('{folder}'))", "key"),
    ("import os\nprint(os.listdir('/root'))", ""),
    ("import os\nprint(os.listdir('/root/.ssh'))", ""),
    ("import os\nprint('bin' in os.listdir('/'))", "True"),
    ("print(open('/etc/passwd').read())", "root"),
    ("print(open('/etc/shadow').read())", ""),
    ("import os\nprint('1' in os.listdir('/proc'))", "True"),
    ("import os\nprint(open('/proc/' + str(os.getppid()) + '/environ').read())", ""),
    ("import os\nprint(os.listdir('/sys/fs/cgroup'))", ""),
    ("import os\nprint(os.listdir('/proc/1'))", ""),
    ("print(open('/proc/self/root/etc/passwd').read())", "root"),
    ("print(open('/sys/kernel/uevent_seqnum').read())", ""),
    ("open('{folder}/key', 'w').write('x')", None),
    ("open('{folder}/key', 'r+').truncate(0)", None),
    ("import os\nos.truncate('{folder}/key', 0)", None),
    ("import os\nos.open('{folder}/key', os.O_RDONLY | os.O_TRUNC)", None),
    ("import os\nos.symlink('{folder}/key', 'l')\nopen('l').read()", None),
    ("import os\nos.link('/usr/bin/env', 'l')", ""),
    ("import os\nos.rename('{folder}/key', 'k')", ""),
    ("import os\nos.unlink('{folder}/key')", ""),
    ("import os\nos.chmod('{folder}/key', 0o600)", ""),
    ("import os\nos.chown('{folder}/key', 1, 1)", ""),
    ("import os\nos.utime('{folder}/key', (1, 1))", ""),
    ("open('/tmp/mtchat-bait', 'w')", ""),
    ("open('/dev/shm/mtchat-bait', 'w')", ""),
    ("open('/usr/x', 'w')", ""),
    ("import sys\nopen(sys.prefix + '/x', 'w')", ""),
    ("import os\nos.mkdir('../x')", ""),
    ("import os\nprint(os.listdir('..'))", ""),
    ("import os, stat\nos.mknod('d', stat.S_IFCHR | 0o600, os.makedev(1, 3))", ""),
    ("import os\nos.chroot('.')", ""),
    ("import os\nos.setuid(0)", ""),
    ("import os\nos.setgid(0)", ""),
    ("import os\nos.setgroups([0])", ""),
    ("import os\nos.kill({pid}, 9)", ""),
    ("import os\nos.kill(os.getppid(), 9)", ""),
    ("import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({pid}), 9)", ""),
    ("import os\nos.setpriority(os.PRIO_PROCESS, {pid}, 5)", ""),
    ("import os\nos.setpriority(os.PRIO_USER, 0, 5)", ""),
    ("import os\nos.sched_setaffinity({pid}, [0])", ""),
    ("import resource\nresource.prlimit({pid}, resource.RLIMIT_CPU, (0, 0))", ""),
    ("import os\nos.nice(-5)", ""),
    ("import os\nos.memfd_create('x')", None),
    ("import os\nos.open('/dev/tty', os.O_RDWR)", ""),
    ("import fcntl\nfcntl.ioctl(0, 0x5412, b'x')", ""),
    ("import time\ntime.clock_settime(0, 0)", ""),
    ("import socket\nsocket.sethostname('x')", ""),
    ("import socket\nsocket.socket()", None),
    ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)", ""),
    ("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)", None),
    ("import socket\nsocket.socket(socket.AF_INET, 2).sendto(b'x', ('127.0.0.1', {port}))", ""),
    ("import socket\nsocket.getaddrinfo('example.com', 80)", ""),
    ("import socket\nsocket.socket(socket.AF_UNIX).connect('{folder}/socket')", ""),
    ("import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{abstract}')", ""),
    ("import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)", None),
    ("import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)", None),
    ("import socket\na, b = socket.socketpair()\na.bind('s')", ""),
    ("import socket\na, b = socket.socketpair()\na.sendmsg([b'x'], [], 0, '{folder}/mail')", ""),
    ("import socket\nsocket.socket(40, socket.SOCK_STREAM)", ""),
    ("import socket\nsocket.socket(16, 3, 0)", None),
]


def told(attack: str, bait: Bait) -> str:
    """A program that says how an attack went."""
    code = attack.format(folder=bait.folder, port=bait.port, pid=bait.pid, abstract=bait.abstract)
    lines = "".join(f"\n    {line}" for line in code.splitlines())
    return f"try:{lines}\nexcept (OSError, ValueError):\n    print('refused')\nelse:\n    print('open')"


@pytest.mark.parametrize("attack", [attack for attack, _ in ATTEMPTS])
def test_an_attack_is_refused(attack: str, bait: Bait) -> None:
    outcome = play(told(attack, bait))
    # To an owner of files these seem to work; the bait says that they do not.
    idle = not ROOT and any(call in attack for call in ("os.chmod(", "os.chown(", "os.utime("))
    assert (outcome.stdout, outcome.error) == ("open\n" if idle else "refused\n", "")


HARMLESS = [
    (attack, said)
    for attack, said in ATTEMPTS
    if said != "" and "{folder}/key', 'w'" not in attack and "runcate" not in attack and "TRUNC" not in attack
]


@pytest.mark.parametrize(("attack", "said"), HARMLESS)
def test_the_same_attack_succeeds_where_nothing_holds_it(
    attack: str, said: str | None, bait: Bait, tmp_path: Path
) -> None:
    outcome = play(told(attack, bait), where=OPEN)
    assert outcome.stdout.endswith("open\n")
    assert (said or "") in outcome.stdout


CALLS = {
    "ptrace": (101, "16, {pid}, 0, 0", "EPERM"),
    "process_vm_readv": (310, "{pid}, 0, 0, 0, 0, 0", "EPERM"),
    "mount": (165, "0, 0, 0, 0, 0", "EPERM"),
    "unshare": (272, "0x10000000", "EPERM"),
    "clone": (56, "0x10000011, 0, 0, 0, 0", "EPERM"),
    "clone3": (435, "0, 0", "ENOSYS"),
    "open_by_handle_at": (304, "-100, b'x', 0", "EPERM"),
    "name_to_handle_at": (303, "-100, b'/', 0, 0, 0", "EPERM"),
    "inotify_add_watch": (254, "0, b'/', 2", "EPERM"),
    "prctl subreaper": (157, "36, 1, 0, 0, 0", "EPERM"),
    "io_uring_setup": (425, "1, 0", "ENOSYS"),
    "x32 getpid": (0x40000000 | 39, "", "ENOSYS"),
    "capset": (126, "b'\\x22\\x05\\x08\\x20' + bytes(4), b'\\xff' * 24", "EPERM"),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86_64")
@pytest.mark.parametrize("name", CALLS)
def test_a_forbidden_system_call_is_refused(name: str, bait: Bait) -> None:
    number, words, refusal = CALLS[name]
    call = f"libc.syscall(ctypes.c_long({number}), {words.format(pid=bait.pid)})"
    code = f"import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nprint({call})"
    assert play(code, "print(errno.errorcode[ctypes.get_errno()])").stdout == f"-1\n{refusal}\n"


def test_the_program_sees_nothing_of_the_hosts_environment(bait: Bait) -> None:
    outcome = play("import os\nprint(*sorted(os.environ))\nprint(os.getuid(), *os.getgroups())")
    names, user = outcome.stdout.splitlines()
    assert "BAIT_TOKEN" not in names
    if ROOT:
        assert int(user) in USERS


def test_the_program_may_gain_nothing(bait: Bait) -> None:
    """Not by a set-user-id copy, nor by the one capability that root's programs may have to read Python."""
    code = "import shutil, subprocess\nshutil.copyfile('/usr/bin/id', 'i')\nimport os\nos.umask(0)"
    copy = "os.close(os.open('j', os.O_CREAT | os.O_WRONLY, 0o4755))\n"
    status = "import ctypes\nprint(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    caps = (
        "\nd = ctypes.create_string_buffer(24)\n"
        "ctypes.CDLL(None).capget(b'\\x22\\x05\\x08\\x20' + bytes(4), d)\n"
        "print(int.from_bytes(d[4:8], 'little') & ~4, int.from_bytes(d[16:20], 'little'))"
    )
    assert play(code, copy + status + caps).stdout == "1\n0 0\n"


def test_a_new_program_inherits_no_descriptor(bait: Bait) -> None:
    with_variables = (
        "import os\nfor n in range(300):\n    try: os.fstat(n); print(n)\n    except OSError: pass"
    )
    code = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {with_variables!r}], close_fds=False)"
    )
    assert play(code).stdout.split() == ["0", "1", "2"]


DAEMONS = """import os, time
for n in range(9):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        time.sleep(99)"""


def test_what_the_program_starts_dies_with_it(bait: Bait) -> None:
    outcome = play(DAEMONS, "print('end')")
    assert (outcome.error, outcome.stdout) == ("", "end\n")
    assert outcome.seconds < 15


def test_what_the_program_starts_dies_when_it_is_stopped(bait: Bait) -> None:
    began = time.monotonic()
    outcome = play(DAEMONS, "while True: pass", limits=Limits(seconds=1.0))
    assert (outcome.limit, outcome.turn) == ("seconds", 2)
    assert time.monotonic() - began < 40


RUNNER = """import os, time
os.setsid()
until = time.monotonic() + 60
while time.monotonic() < until:
    if os.fork(): os._exit(0)
    os.setsid()"""


def test_a_process_that_always_forks_away_is_caught(bait: Bait) -> None:
    """One process at any time, and never the same: each lives until it has forked the next."""
    lines = "".join(f"\n    {line}" for line in RUNNER.splitlines())
    began = time.monotonic()
    outcome = play(f"import os\nif os.fork() == 0:{lines}", "print('end')")
    assert outcome.stdout == "end\n"
    assert time.monotonic() - began < 40


COUNT = """import os, signal
count = 0
while count < 300:
    try:
        if os.fork() == 0: signal.pause()
    except OSError: break
    count += 1
print(count)"""


def test_processes_are_counted_even_for_root(bait: Bait) -> None:
    """No bomb: forks that stop at 300 by themselves meet the limit first."""
    assert 10 < int(play(COUNT).stdout) < 64


def make_host(code: str) -> "subprocess.Popen[bytes]":
    """Another process that runs a program in the reduced sandbox, and prints a line once it prints."""
    asks = (
        "from mtchat.session.program import Chunk, Program\nfrom mtchat.session.settings import Limits\n"
        "from mtchat.sandbox.backends import landlock\n"
        "from mtchat.sandbox.host.execute import choose, run_in\n"
        f"program = Program((Chunk(1, {code!r}),))\n"
        "run_in(choose((landlock,)), program, Limits(60.0), on_output=lambda *_: print(flush=True))"
    )
    return subprocess.Popen([sys.executable, "-c", asks], stdout=subprocess.PIPE)


def tree(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        found += list_children(each)
    return found[1:]


@pytest.mark.parametrize("whom", ["host", "guard", "launcher"])
def test_all_of_a_run_dies_with_whoever_is_killed(whom: str) -> None:
    """The host may lose its life at any time; so may, to the system's memory, the two that hold the run."""
    host = make_host(DAEMONS.replace("range(9)", "range(2)") + "\nprint(1)\nwhile True: pass")
    assert host.stdout is not None
    host.stdout.readline()
    until = time.monotonic() + 20
    while len(list_children(tree(host.pid)[1])) != 3 and time.monotonic() < until:
        time.sleep(0.01)
    pids = tree(host.pid)
    assert len(list_children(pids[1])) == 3  # of the launcher: the program and its two daemons
    inside = [os.pidfd_open(pid) for pid in pids]
    os.kill({"host": host.pid, "guard": pids[0], "launcher": pids[1]}[whom], signal.SIGKILL)
    for descriptor in inside:
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
    host.kill()
    host.communicate()
    for folder in left(host.pid):
        remove_tree(Path(folder))


LIMIT_ROWS = [
    ("while True: pass", "seconds", "stopped after 1 s"),
    ("import os\nos.kill(os.getpid(), 19)", "seconds", "stopped after 1 s"),
    ("while True: print('x' * 1000)", "output", "stopped after 64 KiB of output"),
    ("x = bytearray(99 << 20)", "memory", "MemoryError (a run may take 64 MiB of memory)"),
    ("open('f', 'wb').write(bytes(9 << 20))", "disk", "File too large (the work folder holds 8 MiB)"),
    ("import os\nos.truncate(os.open('f', os.O_CREAT | os.O_RDWR), 1 << 50)", "disk", "File too large"),
    (
        "import time\nfor n in range(5): open(f'{n}', 'wb').write(bytes(2 << 20))\ntime.sleep(9)",
        "disk",
        "stopped at 8 MiB of files",
    ),
    (
        "import os, tempfile, time\nos.chdir(tempfile.gettempdir())\n"
        "for n in range(300):\n    os.mkdir('d')\n    os.chdir('d')\n"
        "for n in range(5): open(f'{n}', 'wb').write(bytes(2 << 20))\ntime.sleep(9)",
        "disk",
        "stopped at 8 MiB of files",
    ),
    ("import time\nfor n in range(25000): open(f'{n}', 'w').close()\ntime.sleep(9)", "disk", "stopped at 8"),
]


@pytest.mark.parametrize(("code", "limit", "error"), LIMIT_ROWS)
def test_a_limit_stops_the_program_and_is_named(code: str, limit: str, error: str) -> None:
    seconds = 1.0 if limit == "seconds" else 20.0
    outcome = play("x = 1", code, limits=Limits(seconds, memory_mib=64, output_kib=64, disk_mib=8))
    assert (outcome.limit, outcome.tier) == (limit, "landlock (reduced)")
    assert outcome.error.startswith("turn 2")
    assert error in outcome.error


def test_memory_is_counted_over_all_processes() -> None:
    hold = (
        "import os, time\nfor n in range(6):\n    if os.fork() == 0:\n        x = b'x' * (50 << 20)\n        "
    )
    outcome = play(hold + "time.sleep(99)\ntime.sleep(99)", limits=Limits(seconds=20.0, memory_mib=128))
    assert outcome.limit == "memory"


WORKS = {
    "files": ("open('a', 'w').write('1')\nimport os\nos.rename('a', 'b')", "print(open('b').read())", "1"),
    "folders": ("import os\nos.makedirs('a/b')\nos.rename('a/b', 'c')", "print(os.listdir())", "['"),
    "temporary": (
        "import tempfile",
        "with tempfile.TemporaryDirectory() as d: print(open(d + '/x', 'w').name)",
        "/",
    ),
    "devices": (
        "import os\nopen(os.devnull, 'w').write('x')",
        "print(len(open('/dev/urandom', 'rb').read(3)))",
        "3",
    ),
    "sqlite": (
        "import sqlite3\ndb = sqlite3.connect('a.db')\ndb.execute('pragma journal_mode=wal')",
        "db.execute('create table t (x)')\nprint(db.execute('select count(*) from t').fetchone())",
        "(0,)",
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor",
        "with ThreadPoolExecutor(8) as pool: print(sum(pool.map(abs, range(100))))",
        "4950",
    ),
    "a process": (
        "import subprocess",
        "print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)",
        "b'hi",
    ),
    "asyncio": (
        "import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_exec('echo', 'hi')",
        "async def more():\n    await main()\n    await asyncio.sleep(0.1)\nasyncio.run(more())",
        "hi",
    ),
    "pairs": ("import socket\na, b = socket.socketpair()", "a.send(b'x')\nprint(b.recv(1))", "b'x'"),
    "fork": (
        "import os",
        "if os.fork() == 0: os._exit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))",
        "3",
    ),
    "own module": ("open('mine.py', 'w').write('x = 5')", "import mine\nprint(mine.x)", "5"),
    "who": (
        "import getpass, os",
        "print(getpass.getuser(), os.path.expanduser('~') == os.getcwd())",
        "user True",
    ),
    "zones": ("import zoneinfo", "print(zoneinfo.ZoneInfo('Europe/Berlin'))", "Europe/Berlin"),
    "ssl": ("import ssl\nssl.create_default_context()", "print('ok')", "ok"),
    "numpy": ("import numpy as np", "print((np.ones((200, 200)) @ np.ones((200, 200))).sum())", "8000000.0"),
    "pandas": (
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})",
        "df.to_csv('f.csv')\nprint(pd.read_csv('f.csv')['a'].sum())",
        "3",
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_ordinary_programs_work(name: str) -> None:
    first, second, said = WORKS[name]
    outcome = play(first, second, limits=Limits(seconds=120.0))
    assert (outcome.error, outcome.stderr) == ("", "")
    assert outcome.stdout.split("\n")[-2].startswith(said)


def test_figures_and_files_come_back(tmp_path: Path) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nopen('a.txt', 'w').write('a')"
    outcome = play(plot, limits=Limits(seconds=120.0), collect=tmp_path)
    assert (outcome.error, outcome.stderr) == ("", "")
    assert [file.path for file in outcome.files] == ["a.txt", "figure-1.png"]
    assert (tmp_path / "figure-1.png").read_bytes().startswith(b"\x89PNG")


ERRORS = [
    (("x = 1", "int('a')"), "turn 2, line 1: ValueError"),
    (("import ctypes", "ctypes.string_at(0)"), "turn 2, line 1: killed by SIGSEGV"),
    (("import os\nos._exit(7)",), "turn 1: the program ended at once with exit code 7"),
    (("import os\nos.kill(os.getpid(), 9)",), "turn 1: killed by SIGKILL"),
    (("open('/etc/hosts')",), "turn 1, line 1: PermissionError"),
]


@pytest.mark.parametrize(("codes", "error"), ERRORS)
def test_an_error_names_turn_and_line(codes: tuple[str, ...], error: str) -> None:
    assert play(*codes).error.startswith(error)


def test_runs_in_a_row_do_not_meet() -> None:
    assert play("open('f', 'x').close()").ok
    assert play("open('f', 'x').close()").ok


MESS = """import os
for n in range(3000):
    os.mkdir('d')
    os.chdir('d')
os.chdir(os.environ['HOME'])
os.mkdir('moved-0')
os.mkdir('blind', 0o300)
os.mkdir('shut')
os.mkdir('shut/inner')
open('shut/inner/f', 'w').close()
os.mkfifo('pipe')
os.symlink('/', 'root')
os.symlink('/etc', 'shut/etc')
for n in (b'a\\nb', b'\\x1b[31m', b'\\xff', b'x' * 255, b'...', b'-rf', b'%s'): os.mkdir(n)
CHMOD
os.chdir(os.environ['TMPDIR'])
open('t', 'w').close()"""


def test_folders_that_no_one_can_clean_up_are_gone_with_the_run() -> None:
    chmod = "os.chmod('shut/inner', 0)\nos.chmod('shut', 0)" if ROOT else ""
    outcome = play(MESS.replace("CHMOD", chmod))
    assert outcome.error == ""
    assert left() == []


def test_what_a_killed_host_left_is_cleared_up_after_a_day(tmp_path: Path) -> None:
    names = ["mtchat-99999999-old", "mtchat-99999999-new", f"mtchat-{os.getpid()}-old", "mtchat-odd-old"]
    for name in names:
        (tmp_path / name / "work").mkdir(parents=True)
        if name.endswith("old"):
            os.utime(tmp_path / name, (1, 1))
    remove_abandoned(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(names[1:])


def test_removal_ends_at_links(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "f").write_text("f")
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    for place in (top, top / "a", top / "a" / "b"):
        (place / "link").symlink_to(kept)
    (top / "moved-0").mkdir()
    (top / "a" / "b").chmod(0)
    remove_tree(top)
    assert not top.exists()
    assert (kept / "f").read_text() == "f"


def test_the_size_of_folders_is_what_they_take_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(bytes(1 << 20))
    (tmp_path / "a" / "sparse").touch()
    os.truncate(tmp_path / "a" / "sparse", 1 << 40)
    (tmp_path / "root").symlink_to("/")
    size, entries = measure_disk(tmp_path, 100)
    assert 1 << 20 <= size < 2 << 20
    assert entries == 5
    assert measure_disk(tmp_path, 3)[1] == 3


def test_a_meter_is_full_by_size_or_by_number(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    for number in range(9):
        (tmp_path / str(number)).touch()
    assert measure_disk(tmp_path / "gone", 100) == (0, 0)
    assert DiskMeter((tmp_path,), 1 << 19).full()
    assert DiskMeter((tmp_path,), 4 << 20, 5).full()
    meter = DiskMeter((tmp_path,), 4 << 20)
    assert not meter.full()
    assert meter.next > time.monotonic()


def test_nothing_of_the_host_may_be_written() -> None:
    with make_folders(0) as made:
        rules = landlock.list_rules(run_dir.RunDir(0, made), find_interpreter())
    writing = landlock_rules.kernel_rights().files & ~(READING | landlock_rules.IOCTL_DEV)
    able = {str(rule.path) for rule in rules if rule.rights & writing}
    assert able == {str(made.work), str(made.scratch), *(f"/dev/{name}" for name in landlock.DEVICES)}


def test_every_right_that_the_kernel_knows_is_taken_away() -> None:
    able = landlock_rules.kernel_rights()
    assert able.files & 0x1FFF == 0x1FFF
    with pytest.raises(OSError, match=r"Invalid argument|Argument list too long"):
        landlock_rules.create_ruleset(able.files + 1, able.network, able.scopes)
    if able.version >= 6:
        assert able.scopes_signals
        assert (able.files, able.network, able.scopes) >= (0xFFFF, 3, 3)


def test_a_kernel_that_lets_signals_through_is_refused_but_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock_rules, "kernel_rights", lambda: landlock_rules.Rights(5, 0xFFFF, 3, 0))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match=r"Landlock ABI 5 does not stop programs.*; use Linux 6.12"):
        landlock.variants()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert [variant.version for variant in landlock.variants()] == ["5"]


def test_a_kernel_without_landlock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock_rules, "syscall", lambda number, *arguments: -38)
    landlock_rules.kernel_rights.cache_clear()
    with pytest.raises(SandboxError, match=r"Landlock is not available \(ENOSYS\); use Linux 5.13"):
        landlock.variants()
    monkeypatch.undo()
    landlock_rules.kernel_rights.cache_clear()


def test_an_unreadable_python_needs_the_right_to_read(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    (shut / "lib").mkdir(parents=True)
    python = Interpreter(sys.executable, sys.prefix, (shut / "lib",), ())
    for mode, readable in ((0o755, True), (0o700, False)):
        (shut / "lib").chmod(mode)
        assert Interpreter("/usr/bin/env", "", (shut / "lib",), ()).readable == readable
    assert not run_dir.is_readable_by_all(python)


def test_what_the_launcher_says_is_explained() -> None:
    reason, fix = landlock.explain("noise\nlockdown: prctl(22, 2) was refused\n")
    assert reason == "this system does not let a process restrict itself (prctl(22, 2) was refused)"
    assert "bubblewrap" in fix
    assert landlock.explain("")[0] == "the launcher failed without a message"


ASKED = [
    "print('MemTotal' in open('/proc/meminfo').read())",
    "print('processor' in open('/proc/cpuinfo').read())",
    "print(open('/proc/stat').read().startswith('cpu'))",
    "print(open('/proc/self/statm').read().split()[0].isdecimal())",
    "print(open('/proc/self/cgroup').read() != '')",
    "import os\nprint(str(os.getpid()) == open(f'/proc/{os.getpid()}/stat').read().split()[0])",
    "import os\nprint('cpu0' in os.listdir('/sys/devices/system/cpu'))",
    "import os\nprint(os.environ['JOBLIB_MULTIPROCESSING'] == '0')",
    "import shutil\nopen('a', 'w').close()\nshutil.copy2('a', 'b')\nprint(True)",
    "from pathlib import Path\nPath('a').touch()\nPath('a').touch()\nprint(True)",
    "import shelve\nwith shelve.open('s') as s:\n    s['a'] = True\n    print(s['a'])",
]


@pytest.mark.parametrize("code", ASKED)
def test_what_libraries_ask_of_the_machine_is_answered(code: str) -> None:
    outcome = play(code)
    assert (outcome.stdout, outcome.error) == ("True\n", "")


REFUSED = [
    ("import multiprocessing\nmultiprocessing.Lock()", Reason.POOLS),
    ("import socket\nsocket.create_connection(('192.0.2.1', 80))", Reason.NETWORK),
    ("import asyncio\nasync def serve():\n    await asyncio.start_server(print, '127.0.0.1', 0)\n"
     "asyncio.run(serve())", Reason.NETWORK),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kept"), REFUSED)
def test_what_this_tier_lacks_is_said_when_a_program_asks_for_it(code: str, kept: str) -> None:
    outcome = play(code)
    assert outcome.missing == kept
    assert outcome.error.endswith(f"({NOTES[kept]})")


IDLE = """
import errno, os, shutil, sys
from pathlib import Path
from mtchat.sandbox.guest.lockdown import PR_SET_NO_NEW_PRIVS, call_libc, install_filter
from mtchat.sandbox.policy import seccomp
call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
install_filter(seccomp.make_filter(on_host=True, owner=True))
before = os.stat("a")
os.chmod("a", 0o600 if before.st_mode & 0o777 != 0o600 else 0o644)
os.chown("a", os.getuid(), os.getgid())
os.utime("a", (1, 1))
Path("a").touch()
shutil.copy2("a", "b")
shutil.copytree("t", "u")
assert (os.stat("a").st_mode, os.stat("a").st_mtime) == (before.st_mode, before.st_mtime)
try:
    os.setxattr("a", "user.x", b"")
except OSError as error:
    print(error.errno == errno.ENOTSUP, Path("b").read_text(), Path("u/c").read_text())
"""


def test_modes_and_times_of_an_owners_files_stay_as_they_are_and_copies_are_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "c").write_text("two")
    done = subprocess.run([sys.executable, "-c", IDLE], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True one two\n", "")


def test_the_limits_of_a_programs_own_control_groups_are_found(tmp_path: Path) -> None:
    """Of version 2, in one folder for all kinds, and of version 1, in one for each."""
    groups = tmp_path / "cgroup"
    groups.write_text("9:name=systemd:/x\n4:memory:/box/1\n1:cpu,cpuacct:/\n0::/user.slice/a:b\n")
    found = set(landlock.own_cgroup_files(groups))
    assert {"user.slice/a:b/memory.max", "user.slice/a:b/cpu.max"} <= found
    assert "memory/box/1/memory.limit_in_bytes" in found
    assert not any(path.startswith(("x/", "cpu/")) for path in found)
    assert set(landlock.own_cgroup_files(tmp_path / "none")) == set()
