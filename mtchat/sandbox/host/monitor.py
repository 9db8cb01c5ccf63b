"""Monitors one run: its output, its processes and memory, and the limits of both and of time."""

import codecs
import io
import os
import selectors
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mtchat.sandbox.policy.rlimits import MIB, SPARE
from mtchat.session.settings import PROCESSES, Limits

DRAIN_SECONDS = 2.0
LAST_WORD_SECONDS = 0.2
TICK_SECONDS = 0.05
STALL_TICKS = 4
SETTLED_SECONDS = 0.5
READ_BYTES = 1 << 16
READINGS = 4
INTERRUPTED = "interrupted"
PROC = "/proc"
PROC_BYTES = 65536  # more than any of the files that are read there
ShowText = Callable[[str], None]
OutputListener = Callable[[str, str], None]  # gets "stdout" or "stderr", and a piece of text


class OutputStream:
    """Output as it arrives: decoded, cut at `cap` bytes, and split by chunk at each mark, which is removed.

    A character that is cut by a mark or by the end becomes U+FFFD. A program can write marks too: beyond the
    `most` that are due, they count as output.
    """

    def __init__(self, mark: bytes, cap: int, show: ShowText, most: int) -> None:
        self.mark, self.cap, self.show, self.most = mark, cap, show, most
        self.parts = [io.StringIO()]
        self.held = b""
        self.taken = 0
        self.full = False
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def texts(self) -> tuple[str, ...]:
        """The output of each chunk that has begun."""
        return tuple(part.getvalue() for part in self.parts)

    @property
    def texts_so_far(self) -> tuple[str, ...]:
        """The same, including held-back bytes at the end that could be the beginning of a mark."""
        *before, last = self.texts
        return (*before, last + (self.decoder.getstate()[0] + self.held).decode("utf-8", "replace"))

    def feed(self, data: bytes) -> None:
        due = self.most + 1 - len(self.parts) if self.mark else 0
        pieces = (self.held + data).split(self.mark, due) if due else [self.held + data]
        for piece in pieces[:-1]:
            self.take(piece, final=True)
            self.parts.append(io.StringIO())
        keep = self.overlap(pieces[-1]) if len(self.parts) <= self.most else 0
        self.held = pieces[-1][len(pieces[-1]) - keep :]
        self.take(pieces[-1][: len(pieces[-1]) - keep])

    def close(self) -> None:
        self.take(self.held, final=True)
        self.held = b""

    def overlap(self, data: bytes) -> int:
        """The number of bytes at the end that may be the beginning of a mark."""
        lengths = range(min(len(self.mark) - 1, len(data)), 0, -1)
        return next((length for length in lengths if data.endswith(self.mark[:length])), 0)

    def take(self, data: bytes, final: bool = False) -> None:
        room = max(self.cap - self.taken, 0)
        self.full = self.full or len(data) > room
        self.taken += min(len(data), room)
        text = self.decoder.decode(data[:room], final)
        if text:
            self.parts[-1].write(text)
            self.show(text)
        if final:
            self.decoder.reset()


@dataclass(frozen=True)
class ProcessLoad:
    """The current number of processes in a tree, and their memory together."""

    processes: int = 0
    memory_mib: float = 0.0


def measure_load(root: int, cap_mib: float, limit: int, without: Set[int] = frozenset()) -> ProcessLoad:
    """The load of a process and its descendants except `without`; beyond `limit` they are only counted.

    Shared pages count once for each process. Near the cap the proportional share is read instead, which is
    slower.
    """
    pids = [pid for pid in list_descendants(root, limit + len(without)) if pid not in without]
    if len(pids) > limit:
        return ProcessLoad(len(pids))
    return ProcessLoad(len(pids), measure_memory(pids, cap_mib))


def measure_memory(pids: Collection[int], cap_mib: float) -> float:
    """The memory of some processes together, in MiB."""
    total = sum(sum_fields_kib(pid, "status", ("RssAnon:", "RssShmem:")) for pid in pids) / 1024
    if total > cap_mib:
        total = sum(sum_fields_kib(pid, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) for pid in pids) / 1024
    return total


def list_descendants(root: int, limit: int) -> list[int]:
    found = [root]
    for pid in found:
        if len(found) > limit:
            break
        found += list_children(pid)
    return found


def list_children(pid: int) -> list[int]:
    """The children of all threads of a process; none if it is gone.

    A thread that ends meanwhile hands its children to another one, whose list may have been read before; so
    then all lists are read again. This holds also for a program whose threads come and go all the time.
    """
    found: dict[int, None] = {}
    for _ in range(READINGS):
        children, complete = read_children(pid)
        found |= dict.fromkeys(children)
        if complete:
            break
    return list(found)


def read_children(pid: int) -> tuple[list[int], bool]:
    """The children in the lists that could be read, and whether these were all."""
    found: list[int] = []
    try:
        tasks = os.listdir(f"{PROC}/{pid}/task")
    except OSError:
        return found, True  # the process is gone
    complete = True
    for task in tasks:
        try:
            text = read_proc(f"{pid}/task/{task}/children")
        except OSError:
            complete = False
        else:
            found += map(int, text.split())
    return found, complete


def read_proc(path: str) -> str:
    """A file in /proc; without the layers of pathlib and io, as every run reads dozens of them."""
    file = os.open(f"{PROC}/{path}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while data := os.read(file, PROC_BYTES):
            found += data
    finally:
        os.close(file)
    return found.decode(errors="replace")


def inner_pid(pid: int) -> int:
    """The ID of a process in its own namespace; 0 if it is gone."""
    return read_numbers(pid, "NSpid:")[-1]


def read_numbers(pid: int, name: str) -> list[int]:
    try:
        lines = read_proc(f"{pid}/status").splitlines()
    except OSError:
        return [0]
    return next(([int(word) for word in line.split()[1:]] for line in lines if line.startswith(name)), [0])


def sum_fields_kib(pid: int, file: str, names: tuple[str, ...]) -> int:
    """The sum of some fields of a file in /proc; 0 if the process is gone or cannot be read."""
    try:
        lines = read_proc(f"{pid}/{file}").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(names))


class RunMonitor(ABC):
    """The loop that follows one run. A subclass says what else to read, and how to abort and kill the run.

    `root` is the process whose descendants are counted, except those in `apart`; `started` says that the
    clock is running, which a subclass starts with `begin`. `marks` is the number of marks due in each stream.

    The loop can block, in the listener or while it waits for the sandbox. Then a thread enforces the limits,
    and kills the run without asking for a traceback.
    """

    setup_seconds = 20.0

    def __init__(
        self,
        root: int,
        mark: bytes,
        limits: Limits,
        on_output: OutputListener,
        stopped: Callable[[], bool],
        apart: Set[int] = frozenset(),
        marks: int = 0,
    ) -> None:
        self.root, self.limits, self.stopped, self.apart = root, limits, stopped, apart
        cap = limits.output_kib * 1024
        self.out = OutputStream(mark, cap, lambda text: on_output("stdout", text), marks)
        self.err = OutputStream(mark, cap, lambda text: on_output("stderr", text), marks)
        self.disk_full: Callable[[], bool] = lambda: False
        self.limit = ""
        self.started = False
        self.started_at = time.monotonic()
        self.ended_at: float | None = None
        self.peak_mib = 0.0
        self.measured_at = 0.0
        self.late_since = 0.0
        self.selector = selectors.DefaultSelector()
        self.last_active = time.monotonic()
        self.finished = threading.Event()

    @abstractmethod
    def on_message(self, key: selectors.SelectorKey) -> None:
        """Handle a message that is not output."""

    @abstractmethod
    def abort(self) -> bool:
        """Send the program SIGABRT; False if there is no process to send it to."""

    @abstractmethod
    def kill(self) -> None:
        """End everything that the run has started."""

    def program_ended(self) -> bool:
        """Whether the program has ended, even if its end has not been reported yet."""
        return False

    def kill_now(self) -> None:
        """End everything that the run has started, without waiting for anything in the sandbox."""
        self.kill()

    @contextmanager
    def enforce_limits(self) -> Iterator[None]:
        """Enforce the limits inside the `with`, even while the loop is blocked."""
        guard = threading.Thread(target=self.check_limits, daemon=True, name="mtchat-limits")
        guard.start()
        try:
            yield
        finally:
            self.finished.set()
            guard.join()

    def check_limits(self) -> None:
        """The loop is blocked if it does nothing while this thread comes round several times.

        Where the machine gives neither of them any time, the clock alone would say that too.
        """
        seen, idle = self.last_active, 0
        while not self.finished.wait(TICK_SECONDS):
            idle = idle + 1 if self.last_active == seen else 0
            seen = self.last_active
            if idle < STALL_TICKS or self.ended_at is not None:
                continue
            found = self.limit or self.confirmed_limit()
            if found and not self.finished.is_set():
                self.limit = self.limit or found
                self.kill_now()
                return

    def read_streams(self, out: int, err: int) -> None:
        for pipe, stream in ((out, self.out), (err, self.err)):
            os.set_blocking(pipe, False)
            self.selector.register(pipe, selectors.EVENT_READ, stream)

    def begin(self) -> None:
        """Start the clock: the program starts now."""
        self.started = True
        self.started_at = time.monotonic()

    def follow(self) -> float:
        """Follow the run until all that could write is dead, or a limit is reached; returns the seconds."""
        try:
            try:
                self.follow_output()
            except KeyboardInterrupt:
                self.limit = INTERRUPTED
            seconds = (self.ended_at or time.monotonic()) - self.started_at
            if self.limit:
                with suppress(KeyboardInterrupt):
                    self.request_traceback()
                self.kill()
        finally:
            self.finished.set()
        with suppress(KeyboardInterrupt):
            self.drain(DRAIN_SECONDS)
        for stream in (self.out, self.err):
            with suppress(KeyboardInterrupt):
                stream.close()
        return seconds

    def follow_output(self) -> None:
        while not self.limit and self.selector.get_map():
            self.last_active = time.monotonic()
            for key, _ in self.selector.select(self.wait_seconds()):
                self.read(key)
            if not self.limit and self.ended_at is None:
                self.limit = self.confirmed_limit()
            if self.ended_at is not None and time.monotonic() - self.ended_at > DRAIN_SECONDS:
                break

    def wait_seconds(self) -> float:
        """The time to wait for a message: a tick, or less if the time limit comes sooner."""
        left = self.started_at + self.limits.seconds - time.monotonic()
        return min(TICK_SECONDS, max(left, 0.001))

    def request_traceback(self) -> None:
        """Abort the program, so that faulthandler records its current line; then pid 1 cleans up.

        The program may block that, so it gets only a moment.
        """
        if self.ended_at is None and self.limit != "processes" and self.abort():
            self.drain(LAST_WORD_SECONDS)

    def drain(self, seconds: float) -> None:
        """Read the rest of the pipes, up to the caps, until all that could write is dead."""
        until = time.monotonic() + seconds
        while self.selector.get_map() and time.monotonic() < until:
            self.last_active = time.monotonic()
            for key, _ in self.selector.select(max(until - time.monotonic(), 0.0)):
                self.read(key)

    def read(self, key: selectors.SelectorKey) -> None:
        if key.fd not in self.selector.get_map():
            return  # an earlier event of this batch has closed it
        if not isinstance(key.data, OutputStream):
            self.on_message(key)
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

    def confirmed_limit(self) -> str:
        """The limit that has been reached, unless the program has ended and only the report of it is late."""
        found = self.exceeded_limit()
        if not found or not self.program_ended():
            return found
        self.late_since = self.late_since or time.monotonic()
        return found if time.monotonic() - self.late_since > DRAIN_SECONDS else ""

    def exceeded_limit(self) -> str:
        """The limit that has been reached by now, if any."""
        if self.stopped():
            return INTERRUPTED
        now = time.monotonic()
        if now - self.started_at >= (self.limits.seconds if self.started else self.setup_seconds):
            return "seconds"
        if now - self.measured_at < TICK_SECONDS or not (
            self.started or now - self.started_at > SETTLED_SECONDS
        ):
            return ""
        self.measured_at = now
        return self.exceeded_load() or ("disk" if self.disk_full() else "")

    def exceeded_load(self) -> str:
        cap_mib = self.limits.memory_mib + SPARE / MIB
        now = measure_load(self.root, cap_mib, 2 * PROCESSES, self.apart)
        self.peak_mib = max(self.peak_mib, now.memory_mib)
        if now.processes > 2 * PROCESSES:
            return "processes"
        return "memory" if now.memory_mib > cap_mib else ""
