"""The two ways an attack is run: inside a tier, and bare as a child of the tests."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mtchat.sandbox.host.monitor import list_children
from mtchat.sandbox.policy import seccomp
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program
from tests.sandbox.battery.bait import SECRET_NAME, Bait
from tests.sandbox.battery.leaks import subreaper
from tests.sandbox.battery.row import Control, Row
from tests.sandbox.battery.tiers import Tier

MERCY_SECONDS = 1.0
GRACE_SECONDS = 0.05
ENDING_SECONDS = 3.0  # for what ends by itself, where more is alive than the case says
WORDS = '''\
import ctypes, errno, os, sys, time
from types import SimpleNamespace
bait = SimpleNamespace(**{bait})
numbers = {numbers}
libc = ctypes.CDLL(None, use_errno=True)

def attempt(name, action, *given):
    """Success is an escape; a failure is told by its error."""
    if effort(name, action, *given, told=False):
        print(f"ESCAPED {{name}}", flush=True)

def effort(name, action, *given, told=True):
    """Success is no escape by itself."""
    try:
        action(*given)
    except OSError as error:
        print(f"{{name}}: {{errno.errorcode.get(error.errno, type(error).__name__)}}", flush=True)
    except Exception as error:
        print(f"{{name}}: {{type(error).__name__}}", flush=True)
    else:
        if told:
            print(f"{{name}}: done", flush=True)
        return True

def call(name, *words):
    ctypes.set_errno(0)
    number = numbers[name] if isinstance(name, str) else name
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    found = libc.syscall(ctypes.c_long(number), *words)
    if found == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return found

def calls(**attempts):
    for name, words in attempts.items():
        attempt(name, call, name, *words)
'''


@dataclass(frozen=True)
class Bare:
    """How an attack without a layer ended; `status` None: it had to be killed."""

    stdout: str
    stderr: str
    status: int | None
    survivors: int


def words(bait: Bait) -> str:
    """The beginning of every attack: where the bait is, and how to try something and tell of it."""
    machine = seccomp.MACHINES.get(os.uname().machine)
    tables = {**seccomp.FORBIDDEN, **seccomp.MISSING}
    numbers = {name: each[machine.column] for name, each in tables.items()} if machine else {}
    if machine:
        numbers |= {"clone": machine.clone, "ioctl": machine.ioctl}
    return WORDS.format(bait=bait.words(), numbers=numbers)


def contained(row: Row, tier: Tier, bait: Bait, collect: Path) -> Outcome:
    chunks = [Chunk(0, words(bait)), *(Chunk(at, code) for at, code in enumerate(row.turns, start=1))]
    return tier.run(Program(tuple(chunks)), row.limits, collect)


def bare(row: Row, bait: Bait, folder: Path) -> Bare:
    """Run an attack, or its bounded stand-in, as an ordinary child in a folder of its own."""
    control = row.control
    code = words(bait) + "\n" + (control.code or "\n".join(row.turns))
    before = set(list_children(os.getpid()))
    subreaper(True)
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", code],
        cwd=folder,
        env={**os.environ, SECRET_NAME: bait.secret},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=(bait.handle,),
    )
    with process:
        stdout, stderr, status = ended(process, control)
        left = finish(before | {process.pid}, control.survivors if status is not None else 0)
        survivors = 0 if status is None else left
        subreaper(False)
    return Bare(stdout, stderr, status, survivors)


def ended(process: "subprocess.Popen[str]", control: Control) -> tuple[str, str, int | None]:
    """What it printed and its status, after a plea and then a kill at the end of its time."""
    with suppress(subprocess.TimeoutExpired):
        stdout, stderr = process.communicate(timeout=control.seconds)
        return stdout, stderr, process.returncode
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        stdout, stderr = process.communicate(timeout=MERCY_SECONDS)
        return stdout, stderr, process.returncode
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=5)
    return stdout, stderr, None


def finish(known: set[int], survivors: int) -> int:
    """Kill and reap what came to us as the nearest reaper; how many there were, those alive."""
    time.sleep(GRACE_SECONDS)
    until = time.monotonic() + ENDING_SECONDS
    while (alive := count_alive(known)) > survivors and time.monotonic() < until:
        time.sleep(0.01)
    until = time.monotonic() + 20
    while left := set(list_children(os.getpid())) - known:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        assert time.monotonic() < until, "the control arm goes on starting processes"
    return alive


def count_alive(known: set[int]) -> int:
    return sum(state(pid) not in "ZX" for pid in set(list_children(os.getpid())) - known)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"
