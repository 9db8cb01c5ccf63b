"""What hostile programs get: each attack with what it should meet, and the host's bait untouched."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtchat.core.outcome import Outcome
from mtchat.core.program import Chunk, Program
from mtchat.core.settings import Limits
from mtchat.sandbox.sandbox import probe, run
from mtchat.sandbox.tree import children

pytestmark = pytest.mark.sandbox
LIMITS = Limits(seconds=20.0, memory_mib=256, output_kib=64, disk_mib=16)


def play(*codes: str, limits: Limits = LIMITS, collect: Path | None = None) -> Outcome:
    chunks = (Chunk(turn, code) for turn, code in enumerate(codes, start=1))
    return run(Program(tuple(chunks)), limits, collect=collect)


@dataclass(frozen=True)
class Bait:
    """What an attack would find on the host if nothing held it."""

    folder: Path
    port: int
    pid: int


@pytest.fixture
def bait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bait]:
    """A key file, a unix socket, a TCP listener, a process and a secret; afterwards none is touched."""
    if not probe().ok:
        pytest.skip(f"no sandbox works here: {probe().reason}")
    monkeypatch.setenv("BAIT_TOKEN", "bait-secret")
    (tmp_path / "key").write_text("bait-secret")
    before = children(os.getpid())
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(str(tmp_path / "socket"))
        local.listen()
        victim = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
        yield Bait(tmp_path, tcp.getsockname()[1], victim.pid)
        for listener in (tcp, local):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
        assert victim.poll() is None
        victim.communicate(b"\n")
    assert (tmp_path / "key").read_text() == "bait-secret"
    assert children(os.getpid()) == before


ATTEMPTS = [
    "print(open('/etc/shadow').read())",
    "print(open('{folder}/key').read())",
    "import os\nprint(os.listdir('{folder}'))",
    "import os\nprint(os.listdir(os.path.expanduser('~root') + '/.ssh'))",
    "import os\nprint(os.listdir('/home'))",
    "import os\nprint(os.listdir('/sys/fs/cgroup'))",
    "print(open('/etc/machine-id').read())",
    "print(open('/proc/1/environ').read())",
    "print(open('/proc/1/mem', 'rb').read(1))",
    "import os\nprint(os.readlink('/proc/1/fd/3'))",
    "import os\nprint(os.kill({pid}, 9))",
    "import os\nos.kill(-1, 9)",
    "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)",
    "import socket\nsocket.create_connection(('192.0.2.1', 80), 2)",
    "import socket\nsocket.getaddrinfo('example.com', 80)",
    "import socket\nsocket.socket(socket.AF_UNIX).connect('{folder}/socket')",
    "import socket\nsocket.socket(40, socket.SOCK_STREAM)",
    "import socket\nsocket.socket(16, 3, 0)",
    "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "open('/usr/x', 'w')",
    "open('/etc/x', 'w')",
    "open('/x', 'w')",
    "open('/dev/x', 'w')",
    "open('/run/mtchat/x', 'w')",
    "import sys\nopen(sys.prefix + '/x', 'w')",
    "import os\nos.symlink('/etc/x', 'l')\nopen('l', 'w')",
    "import os\nos.link('/usr/bin/env', 'l')",
    "import os, stat\nos.mknod('d', stat.S_IFCHR | 0o600, os.makedev(1, 3))",
    "import os\nos.chroot('/work')",
    "import os\nos.nice(-5)",
    "import os\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
    "import os\nos.open('/dev/tty', os.O_RDWR)",
    "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')",
    "import time\ntime.clock_settime(0, 0)",
    "import socket\nsocket.sethostname('x')",
    "import os\nos.memfd_create('x')",
    "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({pid}), 9)",
]


@pytest.mark.parametrize("attack", ATTEMPTS)
def test_an_attack_ends_in_an_oserror(attack: str, bait: Bait) -> None:
    code = attack.format(folder=bait.folder, port=bait.port, pid=bait.pid)
    lines = "".join(f"\n    {line}" for line in code.splitlines())
    outcome = play(f"try:{lines}\nexcept OSError as error:\n    print('refused')\nelse:\n    print('open')")
    assert (outcome.stdout, outcome.error) == ("refused\n", "")


CALLS = {
    "ptrace": (101, "16, {pid}, 0, 0", "EPERM"),
    "process_vm_readv": (310, "{pid}, 0, 0, 0, 0, 0", "EPERM"),
    "mount": (165, "0, 0, 0, 0, 0", "EPERM"),
    "umount2": (166, "b'/', 2", "EPERM"),
    "pivot_root": (155, "b'/', b'/'", "EPERM"),
    "unshare": (272, "0x10000000", "EPERM"),
    "clone": (56, "0x10000011, 0, 0, 0, 0", "EPERM"),
    "setns": (308, "0, 0", "EPERM"),
    "clone3": (435, "0, 0", "ENOSYS"),
    "add_key": (248, "b'user', b'x', b'y', 1, -3", "EPERM"),
    "keyctl": (250, "0, -3, 0", "EPERM"),
    "shmget": (29, "0, 4096, 0o1600", "EPERM"),
    "mq_open": (240, "b'x', 0, 0, 0", "EPERM"),
    "bpf": (321, "0, 0, 0", "EPERM"),
    "perf_event_open": (298, "0, 0, 0, 0, 0", "EPERM"),
    "io_uring_setup": (425, "1, 0", "ENOSYS"),
    "userfaultfd": (323, "0", "ENOSYS"),
    "open_tree": (428, "-100, b'/', 1", "EPERM"),
    "fsopen": (430, "b'tmpfs', 0", "EPERM"),
    "kexec_load": (246, "0, 0, 0, 0", "EPERM"),
    "x32 getpid": (0x40000000 | 39, "", "ENOSYS"),
    "wide TIOCSTI": (16, "0, ctypes.c_uint64(1 << 32 | 0x5412), b'x'", "EPERM"),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86_64")
@pytest.mark.parametrize("name", CALLS)
def test_a_forbidden_system_call_is_refused(name: str, bait: Bait) -> None:
    number, words, refusal = CALLS[name]
    call = f"libc.syscall(ctypes.c_long({number}), {words.format(pid=bait.pid)})"
    code = f"import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nprint({call})"
    assert play(code, "print(errno.errorcode[ctypes.get_errno()])").stdout == f"-1\n{refusal}\n"


def test_the_program_sees_nothing_of_the_hosts_environment(bait: Bait) -> None:
    outcome = play("import os, socket\nprint(*sorted(os.environ))\nprint(socket.gethostname(), os.getuid())")
    names, who = outcome.stdout.splitlines()
    assert "BAIT_TOKEN" not in names
    host, user = who.split()
    assert host == "sbx"
    assert int(user) not in (0, os.getuid())


def test_the_program_sees_two_processes_and_no_open_file_of_ours(bait: Bait) -> None:
    pids = "import os\nprint([name for name in os.listdir('/proc') if name.isdecimal()])"
    links = "print({os.readlink(f'/proc/self/fd/{n}')[:5] for n in os.listdir('/proc/self/fd')[:-1]})"
    outcome = play(pids, links)
    assert outcome.outputs[0] == "['1', '2']\n"
    assert "socke" not in outcome.outputs[1]


def test_a_new_program_inherits_no_descriptor(bait: Bait) -> None:
    code = "import subprocess\nprint(subprocess.run(['ls', '/proc/self/fd'], close_fds=False).returncode)"
    assert play(code).stdout.split() == ["0", "1", "2", "3", "0"]


def test_set_user_id_programs_gain_nothing(bait: Bait) -> None:
    code = "import shutil, os, subprocess\nshutil.copy('/usr/bin/id', 'i')\nos.chmod('i', 0o4755)"
    outcome = play(code, "print(subprocess.run(['./i', '-u'], capture_output=True, text=True).stdout)")
    assert outcome.stdout.strip() != "0"


def test_the_second_architecture_of_the_machine_is_shut(bait: Bait) -> None:
    """int 0x80 reaches the 32-bit table, whose numbers a 64-bit filter would misread."""
    if os.uname().machine != "x86_64":
        pytest.skip("machine code of x86_64")
    code = (
        "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')"
    )
    call = "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()"
    assert play(code, call).signal == signal.SIGSYS


def test_what_the_program_starts_dies_with_it(bait: Bait) -> None:
    code = "import os, time\nfor n in range(9):\n    if os.fork() == 0:\n        os.setsid()\n"
    outcome = play(code + "        if os.fork() == 0: time.sleep(99)\n        os._exit(0)", "print('end')")
    assert (outcome.error, outcome.stdout) == ("", "end\n")
    assert outcome.seconds < 10


COUNT = """import os, signal
count = 0
while count < 300:
    try:
        if os.fork() == 0: signal.pause()
    except OSError: break
    count += 1
print(count)"""


def test_processes_are_counted_even_for_root(bait: Bait) -> None:
    """Before the bomb: forks that stop at 300 by themselves meet the limit first."""
    assert 10 < int(play(COUNT).stdout) < 64


@pytest.mark.skipif(os.geteuid() == 0, reason="only where no mistake of ours can hurt the machine")
def test_a_fork_bomb_is_stopped(bait: Bait) -> None:
    if int(play(COUNT).stdout) >= 64:
        pytest.skip("processes are not limited here, and a bomb would take the machine down")
    outcome = play("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", limits=Limits(1.0))
    assert outcome.limit in ("processes", "seconds")


def test_a_thread_bomb_meets_a_limit(bait: Bait) -> None:
    code = "import threading, time\ndef start(): threading.Thread(target=time.sleep, args=(9,)).start()"
    outcome = play(code, "while True: start()", limits=Limits(5.0, memory_mib=256))
    assert not outcome.ok


def test_a_forged_report_does_not_change_the_status(bait: Bait) -> None:
    """The program may find and write the shared memory: that is its own word, the status is the kernel's."""
    find = "import gc, mmap, os\nm = [each for each in gc.get_objects() if isinstance(each, mmap.mmap)]"
    forge = "for each in m: each[4] = 1; each[32768:32772] = b'\\xff\\xff\\xff\\xff'"
    outcome = play(find, forge, "os._exit(9)", "never = 1")
    assert outcome.exit_code == 9
    assert not outcome.ok


def test_noise_in_the_shared_memory_is_read_without_harm(bait: Bait) -> None:
    find = "import gc, mmap, os\nm = [each for each in gc.get_objects() if isinstance(each, mmap.mmap)]"
    noise = "for each in m: each[:] = os.urandom(len(each))\nos._exit(0)"
    for _ in range(5):
        outcome = play(find, noise)
        assert len(outcome.error) < 2000


def test_a_link_left_behind_is_not_followed(bait: Bait, tmp_path: Path) -> None:
    collect = tmp_path / "out"
    code = f"import os\nos.symlink('{bait.folder}/key', 'plot.png')\nos.mkfifo('pipe.png')"
    sock = "import socket\nsocket.socket(socket.AF_UNIX).bind('s')\nos.symlink('/', 'root')\nopen('ok', 'w')"
    outcome = play(code, sock, collect=collect)
    assert [file.path for file in outcome.files] == ["ok"]
    assert outcome.skipped == ("'pipe.png': a pipe", "'plot.png': a link", "'root': a link", "'s': a socket")
    assert os.listdir(collect) == ["ok"]


def test_folders_that_no_one_can_clean_up_are_gone_with_the_run(bait: Bait) -> None:
    deep = "import os\nfor n in range(2000):\n    os.mkdir('d')\n    os.chdir('d')"
    shut = "os.chdir('/work')\nos.mkdir('shut')\nopen('shut/f', 'w')\nos.chmod('shut', 0)\nopen('ok', 'w')"
    outcome = play(deep, shut)
    assert outcome.error == ""
    assert "ok" in [file.path for file in outcome.files]
    assert any("too deep" in reason for reason in outcome.skipped)


def test_hostile_names_are_skipped(bait: Bait, tmp_path: Path) -> None:
    names = "import os\nfor n in (b'a\\nb', b'\\x1b[31m', b'\\xff', b'x' * 255, b'...', b'-rf', b'%s'):\n"
    outcome = play(names + "    os.close(os.open(n, os.O_CREAT))", collect=tmp_path / "out")
    assert sorted(file.path for file in outcome.files) == ["%s", "-rf", "...", "x" * 255]
    assert len(outcome.skipped) == 3
    assert all(reason.isprintable() for reason in outcome.skipped)


def test_many_files_are_bounded(bait: Bait) -> None:
    outcome = play("for n in range(3000): open(f'{n}', 'w').close()")
    assert len(outcome.files) == 1000
    assert any("too many files" in reason for reason in outcome.skipped)


def test_removing_the_work_folder_removes_its_content_only(bait: Bait) -> None:
    outcome = play("import shutil\nshutil.rmtree('/work', ignore_errors=True)", "open('f', 'w')")
    assert (outcome.error, len(outcome.files)) == ("", 1)


def test_the_sandbox_dies_with_the_process_that_started_it(bait: Bait) -> None:
    """A run is started from a process that is then killed; nothing of it stays."""
    code = (
        "from mtchat.core.program import Chunk, Program\nfrom mtchat.core.settings import Limits\n"
        "from mtchat.sandbox.sandbox import run\n"
        "endless = Program((Chunk(1, 'print(1)\\nwhile True: pass'),))\n"
        "run(endless, Limits(60.0), watch=lambda *_: print(flush=True))"
    )
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert host.stdout is not None
    host.stdout.readline()
    inside = [os.pidfd_open(pid) for child in children(host.pid) for pid in (child, *children(child))]
    host.kill()
    host.communicate()
    assert len(inside) == 2
    for descriptor in inside:
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
