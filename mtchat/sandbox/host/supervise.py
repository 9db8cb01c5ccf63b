"""Starts one contained run and watches it: wall clock, output, memory, Ctrl-C; leaves nothing behind."""

import os
import select
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import PurePath

from mtchat.sandbox.backend import Backend, LaunchCommand, LaunchRequest, Variant
from mtchat.sandbox.guest.wire import HELLO, NUMBERS, SHARED_BYTES, LaunchJob
from mtchat.sandbox.host.channels import (
    close_later,
    close_link,
    launcher_link,
    open_stdin,
    receive,
    refuse_descriptors,
)
from mtchat.sandbox.host.collect import deliver_files
from mtchat.sandbox.host.monitor import DRAIN_SECONDS, READ_BYTES, OutputListener, RunMonitor, list_children
from mtchat.session.given import NO_INPUTS, RunInputs
from mtchat.session.settings import Limits

SETUP_SECONDS = 20.0
PATIENT_SECONDS = 365 * 86_400.0  # for somebody who types; the CPU time is bounded all the same


@dataclass(frozen=True)
class RunResult:
    """How a run ended, as host and kernel saw it; `status` is None when pid 1 did not live to tell.

    `started` says that the sandbox stood and the program could begin; `shared` is the program's own word;
    `stopped` asks whether the user has pressed Ctrl-C since.
    """

    started: bool = False
    status: int | None = None
    limit: str = ""
    seconds: float = 0.0
    memory_mib: float = 0.0
    stdout: tuple[str, ...] = ()
    stderr: str = ""
    complaints: tuple[str, ...] = ()
    truncated: bool = False
    shared: bytes = b""
    work: int | None = None
    stopped: Callable[[], bool] = lambda: False


@contextmanager
def supervise(
    backend: Backend,
    variant: Variant,
    job: LaunchJob,
    limits: Limits,
    watch: OutputListener | None = None,
    given: RunInputs = NO_INPUTS,
) -> Iterator[RunResult]:
    """Run a job to its end; inside the `with`, `Ending.work` is an open descriptor of the work folder."""
    with ExitStack() as stack:
        stopped = stack.enter_context(watch_interrupts())
        ours, theirs = launcher_link()
        stack.callback(close_link, ours)
        with ExitStack() as starting:
            starting.callback(theirs.close)
            shared = create_shared_memory()
            stack.callback(os.close, shared)
            box = LaunchRequest(theirs.fileno(), shared, limits)
            command = stack.enter_context(backend.prepared(variant, box))
            process = start_process(command, given.stdin)
        run = stack.enter_context(
            SandboxedRun(
                process,
                ours,
                job.by(command.user, command.reader),
                replace(limits, seconds=PATIENT_SECONDS) if given.live else limits,
                watch or (lambda name, text: None),
                stopped,
                given,
            )
        )
        run.spilled = command.spilled
        ending = run.end()
        yield replace(ending, shared=os.pread(shared, SHARED_BYTES, 0), stopped=stopped.again())


def start_process(command: LaunchCommand, stdin: PurePath | None) -> "subprocess.Popen[bytes]":
    """The process that contains the rest; SandboxError where what it is to read cannot be opened."""
    with open_stdin(stdin) as source:
        return subprocess.Popen(
            command.argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=command.descriptors,
            env=dict(command.environ),
        )


class Interrupts:
    """Whether Ctrl-C came, when called."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self) -> bool:
        return bool(self.seen)

    def again(self) -> Callable[[], bool]:
        """Whether it comes from now on: what has stopped a run does not stop the copying of what it left."""
        before = len(self.seen)
        return lambda: len(self.seen) > before


@contextmanager
def watch_interrupts() -> Iterator[Interrupts]:
    """Whether Ctrl-C came. It is noted, not raised, so that it cannot tear the clean-up apart."""
    found = Interrupts()
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield found
        return
    signal.signal(signal.SIGINT, lambda number, frame: found.seen.append(number))
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, handler)


def create_shared_memory() -> int:
    """A file without a name whose size is sealed, where the system can: the program may only write in it."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.truncate(SHARED_BYTES)
            return os.dup(file.fileno())
    import fcntl

    memory = os.memfd_create("mtchat", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(memory, SHARED_BYTES)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return memory


class SandboxedRun(RunMonitor):
    """One running sandbox; leaving the `with` kills what is left of it and closes every descriptor."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        link: socket.socket,
        job: LaunchJob,
        limits: Limits,
        watch: OutputListener,
        stopped: Callable[[], bool],
        given: RunInputs,
    ) -> None:
        super().__init__(process.pid, job.mark, limits, watch, stopped, marks=max(len(job.names), 1))
        self.process, self.link, self.job, self.given = process, link, job, given
        self.work: int | None = None
        self.init_fd: int | None = None
        self.init_pid = 0
        self.report = b""

    def __enter__(self) -> "SandboxedRun":
        self.link.setblocking(False)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.read_streams(self.process.stdout.fileno(), self.process.stderr.fileno())
        self.selector.register(self.link, selectors.EVENT_READ, None)
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()
        close_process(self.process)
        self.selector.close()
        for descriptor in (self.work, self.init_fd):
            if descriptor is not None:
                os.close(descriptor)

    def on_message(self, key: selectors.SelectorKey) -> None:
        """Pid 1's own words: first the work folder, with its process id, then the report."""
        try:
            data = self.receive_greeting() if self.work is None else self.link.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self.report = (self.report + data)[: len(HELLO) + 8 * NUMBERS]
        else:
            self.selector.unregister(self.link)
        if self.ended is None and (not data or len(self.report) >= len(HELLO) + 8 * NUMBERS):
            self.ended = time.monotonic()

    def receive_greeting(self) -> bytes:
        """The greeting, after which the job is sent and the clock starts."""
        greeting = receive(self.link, len(HELLO))
        if greeting.pid:
            self.init_pid = greeting.pid
            with suppress(OSError, AttributeError):
                self.init_fd = os.pidfd_open(self.init_pid)
        if greeting.fds:
            self.work = greeting.fds[0]
            close_later(greeting.fds[1:])
            refuse_descriptors(self.link)
            deliver_files(self.given.files, self.work, self.job.user, self.copy_stopped)
            self.link.settimeout(SETUP_SECONDS)
            with suppress(OSError):
                self.link.sendall(self.job.pack())
            self.link.setblocking(False)
            self.begin()
        return greeting.data

    def copy_stopped(self) -> bool:
        """As `stopped`, asked by what takes its time and is under way all the same."""
        self.last_active = time.monotonic()
        return self.stopped()

    def abort(self) -> bool:
        """A number may by now be another's process, so it is looked for again once it is held fast."""
        if not self.init_pid:
            return False
        with suppress(OSError, IndexError, AttributeError):
            pid = list_children(self.init_pid)[0]
            handle = os.pidfd_open(pid)
            try:
                if pid in list_children(self.init_pid):
                    signal.pidfd_send_signal(handle, signal.SIGABRT)
                    return True
            finally:
                os.close(handle)
        return False

    def over(self) -> bool:
        return self.process.poll() is not None or (self.init_fd is not None and has_ended(self.init_fd))

    def kill(self) -> None:
        """Kill pid 1, and with it the kernel kills everything inside; bwrap itself then reaps and ends."""
        kill_sandbox(self.process, self.init_fd)

    def end(self) -> RunResult:
        """Follow the run; how it ended."""
        with self.enforce_limits():
            seconds = self.follow()
        data = self.report[len(HELLO) :]
        count = len(self.job.names)
        ending = RunResult(
            started=self.work is not None and self.report.startswith(HELLO),
            limit=self.limit,
            seconds=seconds,
            memory_mib=self.peak_mib,
            stdout=merge_last(self.out.texts, count),
            stderr="".join(self.err.texts),
            complaints=merge_last(self.err.texts, count),
            truncated=self.out.full or self.err.full,
            work=self.work,
        )
        return with_usage(ending, data) if len(data) == 8 * NUMBERS else ending


def with_usage(ending: RunResult, data: bytes) -> RunResult:
    """The ending with what pid 1 says of it."""
    numbers = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    status, wall, _, _, peak_kib = numbers
    peak_mib = max(ending.memory_mib, peak_kib / 1024)
    return replace(ending, status=status, seconds=wall / 1e6, memory_mib=peak_mib)


def merge_last(parts: tuple[str, ...], count: int) -> tuple[str, ...]:
    """One part for each chunk: what comes after the last one, as the program ends, belongs to it."""
    if len(parts) <= max(count, 1):
        return parts
    return (*parts[: max(count, 1) - 1], "".join(parts[max(count, 1) - 1 :]))


def kill_sandbox(process: "subprocess.Popen[bytes]", first: int | None) -> None:
    """Kill pid 1 of a sandbox, or what was to start it, unless it has ended."""
    with suppress(ProcessLookupError):
        if first is not None:
            signal.pidfd_send_signal(first, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()


def has_ended(handle: int) -> bool:
    """Whether the process of a descriptor has ended, reaped or not."""
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(0))


def close_process(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a killed sandbox and close its pipes."""
    try:
        process.wait(DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
