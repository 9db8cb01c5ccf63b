"""Starts one contained run and watches it: wall clock, output, memory, Ctrl-C; leaves nothing behind."""

import array
import os
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

from mtchat.core.settings import Limits
from mtchat.sandbox.backend import Backend, Box, Variant
from mtchat.sandbox.inside.wire import HELLO, NUMBERS, SHARED_BYTES, Job
from mtchat.sandbox.rlimits import MIB, PROCESSES, SPARE
from mtchat.sandbox.streams import Stream
from mtchat.sandbox.tree import children, load

SETUP_SECONDS = 20.0
DRAIN_SECONDS = 2.0
LAST_WORD_SECONDS = 0.05
TICK_SECONDS = 0.05
READ_BYTES = 1 << 16
INTERRUPTED = "interrupted"
Watch = Callable[[str, str], None]


@dataclass(frozen=True)
class Ending:
    """How a run ended, as host and kernel saw it; `status` is None when pid 1 did not live to tell.

    `started` says that the sandbox stood and the program could begin; `shared` is the program's own word.
    """

    started: bool = False
    status: int | None = None
    limit: str = ""
    seconds: float = 0.0
    memory_mib: float = 0.0
    stdout: tuple[str, ...] = ()
    stderr: str = ""
    truncated: bool = False
    shared: bytes = b""
    work: int | None = None


@contextmanager
def supervised(
    backend: Backend, variant: Variant, job: Job, limits: Limits, watch: Watch | None = None
) -> Iterator[Ending]:
    """Run a job to its end; inside the `with`, `Ending.work` is an open descriptor of the work folder."""
    with ExitStack() as stack:
        stopped = stack.enter_context(interrupts())
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)
        if hasattr(socket, "SO_PASSCRED"):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with ExitStack() as starting:
            starting.callback(theirs.close)
            shared = shared_memory()
            stack.callback(os.close, shared)
            box = Box(theirs.fileno(), shared, limits)
            command = stack.enter_context(backend.prepared(variant, box))
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=command.descriptors,
                env=dict(command.environ),
            )
        run = stack.enter_context(
            Run(process, ours, job.by(command.user), limits, watch or (lambda name, text: None), stopped)
        )
        ending = run.follow()
        yield replace(ending, shared=os.pread(shared, SHARED_BYTES, 0))


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C came. It is noted, not raised, so that it cannot tear the clean-up apart."""
    seen: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, handler)


def shared_memory() -> int:
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


class Run:
    """One running sandbox; leaving the `with` kills what is left of it and closes every descriptor."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        link: socket.socket,
        job: Job,
        limits: Limits,
        watch: Watch,
        stopped: Callable[[], bool],
    ) -> None:
        self.process, self.link, self.job, self.limits, self.stopped = process, link, job, limits, stopped
        cap = limits.output_kib * 1024
        self.out = Stream(job.mark, cap, lambda text: watch("stdout", text))
        self.err = Stream(b"", cap, lambda text: watch("stderr", text))
        self.work: int | None = None
        self.first: int | None = None
        self.first_pid = 0
        self.report = b""
        self.limit = ""
        self.peak_mib = 0.0
        self.began = time.monotonic()
        self.ended: float | None = None
        self.measured = 0.0
        self.selector = selectors.DefaultSelector()

    def __enter__(self) -> "Run":
        self.link.setblocking(False)
        for pipe, stream in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ, stream)
        self.selector.register(self.link, selectors.EVENT_READ, None)
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()
        try:
            self.process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.selector.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        for descriptor in (self.work, self.first):
            if descriptor is not None:
                os.close(descriptor)

    def follow(self) -> Ending:
        """Watch until everything that could write is dead, or a limit is hit."""
        try:
            self.listen()
        except KeyboardInterrupt:
            self.limit = INTERRUPTED
        seconds = (self.ended or time.monotonic()) - self.began
        if self.limit:
            with suppress(KeyboardInterrupt):
                self.ask_where()
            self.kill()
        with suppress(KeyboardInterrupt):
            self.drain(DRAIN_SECONDS)
        self.out.close()
        self.err.close()
        return self.ending(seconds)

    def listen(self) -> None:
        while not self.limit and self.selector.get_map():
            for key, _ in self.selector.select(self.patience()):
                self.read(key)
            if not self.limit and self.ended is None:
                self.limit = self.exceeded()
            if self.ended is not None and time.monotonic() - self.ended > DRAIN_SECONDS:
                break

    def patience(self) -> float:
        """How long to wait for news: a tick, or less when the time of the run is up sooner."""
        left = self.began + self.limits.seconds - time.monotonic()
        return min(TICK_SECONDS, max(left, 0.001))

    def ask_where(self) -> None:
        """Abort the program, upon which faulthandler notes the line it is at and pid 1 sweeps up.

        It may not oblige, so it gets a moment only.
        """
        if self.ended is not None or self.limit == "processes" or not self.first_pid:
            return
        with suppress(OSError, IndexError):
            os.kill(children(self.first_pid)[0], signal.SIGABRT)
            self.drain(LAST_WORD_SECONDS)

    def drain(self, seconds: float) -> None:
        """Take what is still in the pipes, up to the caps, until all that could write is dead."""
        until = time.monotonic() + seconds
        while self.selector.get_map() and time.monotonic() < until:
            for key, _ in self.selector.select(max(until - time.monotonic(), 0.0)):
                self.read(key)

    def read(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            self.read_link()
            return
        try:
            data = os.read(key.fd, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.selector.unregister(key.fileobj)
            return
        key.data.feed(data)
        if key.data.full and not self.limit:
            self.limit = "output"

    def read_link(self) -> None:
        """Pid 1's own words: first the work folder, with its process id, then the report."""
        try:
            data = self.hear() if self.work is None else self.link.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self.report += data
        else:
            self.selector.unregister(self.link)
        if self.ended is None and (not data or len(self.report) >= len(HELLO) + 8 * NUMBERS):
            self.ended = time.monotonic()

    def hear(self) -> bytes:
        """The greeting, after which the job is sent and the clock starts."""
        room = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(12)
        data, extras, _, _ = self.link.recvmsg(len(HELLO), room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        for level, kind, content in extras:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.work = array.array("i", content[:4])[0]
            elif level == socket.SOL_SOCKET and kind == getattr(socket, "SCM_CREDENTIALS", None):
                self.first_pid = array.array("i", content[:4])[0]
                with suppress(OSError, AttributeError):
                    self.first = os.pidfd_open(self.first_pid)
        if self.work is not None:
            self.link.settimeout(SETUP_SECONDS)
            with suppress(OSError):
                self.link.sendall(self.job.pack())
            self.link.setblocking(False)
            self.began = time.monotonic()
        return data

    def exceeded(self) -> str:
        """The limit that has been hit by now, if any."""
        if self.stopped():
            return INTERRUPTED
        now = time.monotonic()
        if now - self.began >= (SETUP_SECONDS if self.work is None else self.limits.seconds):
            return "seconds"
        if self.work is None or now - self.measured < TICK_SECONDS:
            return ""
        self.measured = now
        return self.overloaded()

    def overloaded(self) -> str:
        cap_mib = self.limits.memory_mib + SPARE / MIB
        now = load(self.process.pid, cap_mib, 2 * PROCESSES)
        self.peak_mib = max(self.peak_mib, now.memory_mib)
        if now.processes > 2 * PROCESSES:
            return "processes"
        return "memory" if now.memory_mib > cap_mib else ""

    def kill(self) -> None:
        """Kill pid 1, and with it the kernel kills everything inside; bwrap itself then reaps and ends."""
        if self.process.poll() is not None:
            return
        try:
            if self.first is None:
                self.process.kill()
            else:
                signal.pidfd_send_signal(self.first, signal.SIGKILL)
        except ProcessLookupError:
            return

    def ending(self, seconds: float) -> Ending:
        data = self.report[len(HELLO) :]
        ending = Ending(
            started=self.work is not None and self.report.startswith(HELLO),
            limit=self.limit,
            seconds=seconds,
            memory_mib=self.peak_mib,
            stdout=self.out.texts,
            stderr="".join(self.err.texts),
            truncated=self.out.full or self.err.full,
            work=self.work,
        )
        if len(data) != 8 * NUMBERS:
            return ending
        numbers = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
        status, wall, _, _, peak_kib = numbers
        return replace(
            ending, status=status, seconds=wall / 1e6, memory_mib=max(self.peak_mib, peak_kib / 1024)
        )
