"""Starts one contained run and follows it to its end: time, output, memory, Ctrl-C; leaves nothing behind."""

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
from mtchat.session.program import NO_INPUTS, RunInputs
from mtchat.session.settings import Limits

SETUP_SECONDS = 20.0
PATIENT_SECONDS = 365 * 86_400.0  # while the user types input; CPU time is still limited


@dataclass(frozen=True)
class RunResult:
    """How a run ended, as host and kernel saw it; `status` is None if pid 1 could not report it.

    `started` says that the sandbox was set up and the program could begin; `shared` is the shared memory, in
    which the program may write anything; `stopped` says whether the user has pressed Ctrl-C since.
    """

    started: bool = False
    status: int | None = None
    limit: str = ""
    seconds: float = 0.0
    memory_mib: float = 0.0
    stdout: tuple[str, ...] = ()
    stderr: str = ""
    error_outputs: tuple[str, ...] = ()
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
    on_output: OutputListener | None = None,
    inputs: RunInputs = NO_INPUTS,
) -> Iterator[RunResult]:
    """Run a job to its end; inside the `with`, the result's `work` is a descriptor of the work folder."""
    with ExitStack() as stack:
        stopped = stack.enter_context(watch_interrupts())
        ours, theirs = launcher_link()
        stack.callback(close_link, ours)
        with ExitStack() as starting:
            starting.callback(theirs.close)
            shared = create_shared_memory()
            stack.callback(os.close, shared)
            request = LaunchRequest(theirs.fileno(), shared, limits)
            command = stack.enter_context(backend.prepare(variant, request))
            process = start_process(command, inputs.stdin)
        run = stack.enter_context(
            SandboxedRun(
                process,
                ours,
                job.for_user(command.user, command.reader),
                replace(limits, seconds=PATIENT_SECONDS) if inputs.live else limits,
                on_output or (lambda name, text: None),
                stopped,
                inputs,
            )
        )
        run.disk_full = command.disk_full
        result = run.end()
        yield replace(result, shared=os.pread(shared, SHARED_BYTES, 0), stopped=stopped.since_now())


def start_process(command: LaunchCommand, stdin: PurePath | None) -> "subprocess.Popen[bytes]":
    """Start the outermost process of a run; SandboxError if the file for its stdin cannot be opened."""
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
    """When called: whether Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self) -> bool:
        return bool(self.seen)

    def since_now(self) -> Callable[[], bool]:
        """The same from now on: the Ctrl-C that stopped a run does not stop the copying of its files."""
        before = len(self.seen)
        return lambda: len(self.seen) > before


@contextmanager
def watch_interrupts() -> Iterator[Interrupts]:
    """Record Ctrl-C instead of raising it, so that it cannot interrupt the clean-up."""
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
    """An anonymous file for the program to write in; its size is sealed if the system can do that."""
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
    """One running sandbox; leaving the `with` kills what is left of it and closes all descriptors."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        link: socket.socket,
        job: LaunchJob,
        limits: Limits,
        on_output: OutputListener,
        stopped: Callable[[], bool],
        inputs: RunInputs,
    ) -> None:
        super().__init__(process.pid, job.mark, limits, on_output, stopped, marks=max(len(job.names), 1))
        self.process, self.link, self.job, self.inputs = process, link, job, inputs
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
        """A message of pid 1: first the work folder and its process ID, later the report."""
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
        if self.ended_at is None and (not data or len(self.report) >= len(HELLO) + 8 * NUMBERS):
            self.ended_at = time.monotonic()

    def receive_greeting(self) -> bytes:
        """Receive the greeting, send the job, and start the clock."""
        greeting = receive(self.link, len(HELLO))
        if greeting.pid:
            self.init_pid = greeting.pid
            with suppress(OSError, AttributeError):
                self.init_fd = os.pidfd_open(self.init_pid)
        if greeting.fds:
            self.work = greeting.fds[0]
            close_later(greeting.fds[1:])
            refuse_descriptors(self.link)
            deliver_files(self.inputs.files, self.work, self.job.user, self.copy_stopped)
            self.link.settimeout(SETUP_SECONDS)
            with suppress(OSError):
                self.link.sendall(self.job.pack())
            self.link.setblocking(False)
            self.begin()
        return greeting.data

    def copy_stopped(self) -> bool:
        """As `stopped`, for the copying of files, which also counts as activity."""
        self.last_active = time.monotonic()
        return self.stopped()

    def abort(self) -> bool:
        """Abort the program; its ID is checked again once a pidfd holds it, as it may have been reused."""
        if not self.init_pid:
            return False
        with suppress(OSError, IndexError, AttributeError):
            pid = list_children(self.init_pid)[0]
            pidfd = os.pidfd_open(pid)
            try:
                if pid in list_children(self.init_pid):
                    signal.pidfd_send_signal(pidfd, signal.SIGABRT)
                    return True
            finally:
                os.close(pidfd)
        return False

    def program_ended(self) -> bool:
        return self.process.poll() is not None or (self.init_fd is not None and has_ended(self.init_fd))

    def kill(self) -> None:
        """Kill pid 1; the kernel then kills everything in the sandbox, and bwrap ends."""
        kill_sandbox(self.process, self.init_fd)

    def end(self) -> RunResult:
        """Follow the run until it ends."""
        with self.enforce_limits():
            seconds = self.follow()
        data = self.report[len(HELLO) :]
        count = len(self.job.names)
        result = RunResult(
            started=self.work is not None and self.report.startswith(HELLO),
            limit=self.limit,
            seconds=seconds,
            memory_mib=self.peak_mib,
            stdout=merge_last(self.out.texts, count),
            stderr="".join(self.err.texts),
            error_outputs=merge_last(self.err.texts, count),
            truncated=self.out.full or self.err.full,
            work=self.work,
        )
        return with_usage(result, data) if len(data) == 8 * NUMBERS else result


def with_usage(result: RunResult, data: bytes) -> RunResult:
    """The result with what pid 1 reported: status, time and peak memory."""
    numbers = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    status, wall, _, _, peak_kib = numbers
    peak_mib = max(result.memory_mib, peak_kib / 1024)
    return replace(result, status=status, seconds=wall / 1e6, memory_mib=peak_mib)


def merge_last(parts: tuple[str, ...], count: int) -> tuple[str, ...]:
    """One part for each chunk: output after the last one, while the program ends, belongs to it."""
    if len(parts) <= max(count, 1):
        return parts
    return (*parts[: max(count, 1) - 1], "".join(parts[max(count, 1) - 1 :]))


def kill_sandbox(process: "subprocess.Popen[bytes]", first: int | None) -> None:
    """Kill pid 1 of a sandbox, or the process that was to start it, unless it has ended."""
    with suppress(ProcessLookupError):
        if first is not None:
            signal.pidfd_send_signal(first, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()


def has_ended(pidfd: int) -> bool:
    """Whether the process of a pidfd has ended, reaped or not."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
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
