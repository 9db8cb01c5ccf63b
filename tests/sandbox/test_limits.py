"""Limits hold even if the loop that follows a run is blocked, and if a program is slow to end."""

import ctypes
import os
import resource
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.host.channels import (
    MOST_DESCRIPTORS,
    close_later,
    close_link,
    receive,
    refuses_descriptors,
    server_link,
)
from mtchat.sandbox.host.execute import BackendChoice, run_in
from mtchat.sandbox.host.monitor import OutputListener, RunMonitor, list_children
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from tests.sandbox.battery.tiers import tier

WAYS = ("T1", "T2", "checkpoints")
LINGER = b"\x01\0\0\0\x14\0\0\0"  # on, 20 s
# The program finds the mark in its own memory: it is in the frame that runs it, or on the heap.
FLOOD = """
import gc, os, sys
frame, mark = sys._getframe(), b""
while frame:
    owner = frame.f_locals.get("progress") or getattr(frame.f_locals.get("self"), "progress", None)
    mark = mark or getattr(owner, "mark", b"")
    frame = frame.f_back
assert mark
while True:
    os.write(FD, mark * 100)
"""
LARGE = """
import time
print("up", flush=True)
kept = []
while True:
    kept.append(bytearray(1 << 20))
    time.sleep(0.01)
"""
FORKS = "import os\nfor _ in range(5):\n    if os.fork() == 0: break\n"


def chosen(name: str) -> BackendChoice:
    there = tier("T1" if name == "checkpoints" else name)
    if there.choice is None:
        pytest.skip(f"{name} does not work here: {there.reason}")
    return there.choice


@contextmanager
def runner(name: str, limits: Limits, on_output: OutputListener | None = None) -> Iterator["Runs"]:
    choice = chosen(name)
    if name != "checkpoints":
        yield Runs(lambda program: run_in(choice, program, limits, on_output=on_output))
        return
    with Worker(choice) as worker:
        yield Runs(lambda program: worker.run(program, limits, on_output=on_output))


class Runs:
    def __init__(self, run: object) -> None:
        self.run = run

    def __call__(self, *turns: str) -> Outcome:
        chunks = tuple(Chunk(number, code) for number, code in enumerate(turns, start=1))
        return self.run(Program(chunks))  # type: ignore[operator, no-any-return]


@pytest.mark.sandbox
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("stream", [1, 2], ids=["stdout", "stderr"])
def test_marks_count_as_output(name: str, stream: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with runner(name, Limits(seconds=10, output_kib=64)) as run:
        outcome = run("x = 1", FLOOD.replace("FD", str(stream)), "y = 1")
    assert outcome.limit == "output", outcome.error
    assert len(outcome.outputs) <= 3
    assert len(outcome.stdout + outcome.stderr) <= 2 * 64 * 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


class Stuck:
    """Who hears the output and does not return until the run has been ended, or for far too long."""

    def __init__(self) -> None:
        self.freed = threading.Event()
        self.seconds = 0.0

    def __call__(self, stream: str, text: str) -> None:
        began = time.monotonic()
        self.freed.wait(1.5)
        self.seconds = time.monotonic() - began


@pytest.mark.sandbox
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(
    ("limits", "code", "limit"),
    [
        (Limits(seconds=0.5), "print('up', flush=True)\nwhile True: pass", "seconds"),
        (Limits(seconds=9, memory_mib=128), FORKS + LARGE, "memory"),
    ],
    ids=["seconds", "memory"],
)
def test_limits_hold_while_nobody_reads_the_output(name: str, limits: Limits, code: str, limit: str) -> None:
    hears = Stuck()
    with runner(name, limits, hears) as run:
        outcome = run(code)
    assert outcome.limit == limit
    assert outcome.memory_mib < 500  # of 768 that its processes may have together


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["T1", "T2"])
def test_a_program_that_has_ended_is_not_stopped_for_a_slow_reader(name: str) -> None:
    with runner(name, Limits(seconds=1.0), Stuck()) as run:
        outcome = run("print('all')")
    assert (outcome.stdout, outcome.limit) == ("all\n", "")


def test_the_end_of_a_state_takes_no_descriptors_where_the_kernel_can_refuse_them() -> None:
    ours, theirs = server_link()
    with closing(ours), closing(theirs):
        if not refuses_descriptors(ours):
            pytest.skip("this kernel has no SO_PASSRIGHTS")
        with pytest.raises(PermissionError):
            socket.send_fds(theirs, [b"step"], [0])
        theirs.send(b"step")
        socket.send_fds(ours, [b"work"], [0])
        assert receive(ours, 10).data == b"step"


def lingering() -> tuple[socket.socket, list[socket.socket]]:
    """A TCP socket that takes 20 s to close since its peer reads nothing, and what must live as long."""
    listener = socket.create_server(("127.0.0.1", 0))
    end = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    end.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            end.send(bytes(1 << 16))
    return end, [listener, peer]


@pytest.mark.parametrize("read", [True, False], ids=["read", "still on its way"])
def test_closing_what_a_program_sends_takes_none_of_our_time(read: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end, others = lingering()
    socket.send_fds(theirs, [b"step"], [end.fileno()])
    os.close(end.detach())
    began = time.monotonic()
    if read:
        said = receive(ours, 10)
        assert (said.data, len(said.fds)) == (b"step", 1)
        close_later(said.fds)
    close_link(ours)
    assert time.monotonic() - began < 10
    for each in (theirs, *others):
        each.close()


def test_every_descriptor_of_a_message_is_received_and_so_can_be_let_go() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        socket.send_fds(theirs, [b"step"], [0] * MOST_DESCRIPTORS)
        said = receive(ours, 10)
        assert len(said.fds) == MOST_DESCRIPTORS
        close_later(said.fds)


class Alone(RunMonitor):
    """A run of no process; `ended` tells why it was ended."""

    def __init__(self) -> None:
        super().__init__(os.getpid(), b"mark", Limits(seconds=0.1), lambda name, text: None, lambda: False)
        self.ended: list[str] = []

    def on_message(self, key: selectors.SelectorKey) -> None: ...

    def abort(self) -> bool:
        return False

    def kill(self) -> None:
        self.ended.append(self.limit)


def test_a_run_that_is_not_looked_after_is_ended_once_by_whoever_keeps_its_limits() -> None:
    watching = Alone()
    watching.begin()
    with watching.enforce_limits():
        [guard] = [each for each in threading.enumerate() if each.name == "mtchat-limits"]
        guard.join(5)
    assert watching.ended == ["seconds"]


def test_a_loop_that_is_late_because_nothing_runs_is_not_blocked() -> None:
    """No thread of Python runs while this call sleeps, as when the machine is busy elsewhere."""
    hold_all_threads = ctypes.PyDLL(None).usleep
    watching = Alone()
    watching.begin()
    with watching.enforce_limits():
        for _ in range(3):
            hold_all_threads(400_000)
            watching.last_active = time.monotonic()
    assert watching.ended == []


THREADS = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
def come_and_go():
    while True:
        short = threading.Thread(target=lambda: None)
        short.start()
        short.join()
for _ in range(4):
    threading.Thread(target=come_and_go, daemon=True).start()
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""


def test_no_process_hides_behind_threads_that_come_and_go() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        child = int(process.stdout.readline())
        seen = [list_children(process.pid) for _ in range(3000)]
        process.stdin.close()
    assert [each for each in seen if each != [child]] == []


@pytest.mark.sandbox
def test_a_sandbox_that_had_to_be_killed_leaves_no_process_until_the_next_run() -> None:
    """The thread that keeps the limits ends pid 1 itself while the loop waits for the listener."""
    before = list_children(os.getpid())
    with Worker(chosen("checkpoints")) as worker:

        def waits(stream: str, text: str) -> None:
            until = time.monotonic() + 30
            while worker.sandbox is not None and not worker.sandbox.lost and time.monotonic() < until:
                time.sleep(0.01)

        chunk = Chunk(1, "print('up', flush=True)\nwhile True: pass")
        outcome = worker.run(Program((chunk,)), Limits(seconds=0.5), on_output=waits)
        assert outcome.limit == "seconds"
        assert (worker.sandbox, worker.snapshots.alive) == (None, {})
        assert list_children(os.getpid()) == before
        assert worker.run(Program((Chunk(1, "print(2)"),)), Limits(seconds=20.0)).stdout == "2\n"
