"""Follows one run: reads what it prints, and keeps its limits of time, output, memory and processes."""

import os
import selectors
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress

from mtchat.sandbox.policy.rlimits import MIB, SPARE
from mtchat.sandbox.streams import Stream
from mtchat.sandbox.tree import load
from mtchat.session.settings import PROCESSES, Limits

DRAIN_SECONDS = 2.0
LAST_WORD_SECONDS = 0.05
TICK_SECONDS = 0.05
STALL_SECONDS = 0.2
SETTLED_SECONDS = 0.5
READ_BYTES = 1 << 16
INTERRUPTED = "interrupted"
Watch = Callable[[str, str], None]


class Watching(ABC):
    """The loop around one run. Who starts it says what else to read, how to ask where it is, how to end it.

    `root` is the process whose descendants are counted, without those in `apart`; `begun` says that the
    clock runs, which a subclass sets right when the program starts. `marks` is how many a stream may have.

    The loop may be held up, by who is to show the output or by what it asks of a sandbox. Then a thread keeps
    the limits, and ends the run without asking where it was.
    """

    setup_seconds = 20.0

    def __init__(
        self,
        root: int,
        mark: bytes,
        limits: Limits,
        watch: Watch,
        stopped: Callable[[], bool],
        apart: Set[int] = frozenset(),
        marks: int = 0,
    ) -> None:
        self.root, self.limits, self.stopped, self.apart = root, limits, stopped, apart
        cap = limits.output_kib * 1024
        self.out = Stream(mark, cap, lambda text: watch("stdout", text), marks)
        self.err = Stream(mark, cap, lambda text: watch("stderr", text), marks)
        self.spilled: Callable[[], bool] = lambda: False
        self.limit = ""
        self.begun = False
        self.began = time.monotonic()
        self.ended: float | None = None
        self.peak_mib = 0.0
        self.measured = 0.0
        self.late = 0.0
        self.selector = selectors.DefaultSelector()
        self.pulse = time.monotonic()
        self.relieved = threading.Event()

    @abstractmethod
    def heard(self, key: selectors.SelectorKey) -> None:
        """Something arrived that is not output."""

    @abstractmethod
    def abort(self) -> bool:
        """Send the program SIGABRT; False where there is nobody to send it to."""

    @abstractmethod
    def kill(self) -> None:
        """End everything that the run started."""

    def over(self) -> bool:
        """Whether the program has ended, though nobody may have heard of it yet."""
        return False

    def kill_at_once(self) -> None:
        """End everything that the run started, without a word with anything inside."""
        self.kill()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """The limits are kept inside, whatever the loop waits for."""
        guard = threading.Thread(target=self.keep_limits, daemon=True, name="mtchat-limits")
        guard.start()
        try:
            yield
        finally:
            self.relieved.set()
            guard.join()

    def keep_limits(self) -> None:
        while not self.relieved.wait(TICK_SECONDS):
            if time.monotonic() - self.pulse < STALL_SECONDS or self.ended is not None:
                continue
            found = self.limit or self.overrun()
            if found and not self.relieved.is_set():
                self.limit = self.limit or found
                self.kill_at_once()
                return

    def read_streams(self, out: int, err: int) -> None:
        for pipe, stream in ((out, self.out), (err, self.err)):
            os.set_blocking(pipe, False)
            self.selector.register(pipe, selectors.EVENT_READ, stream)

    def begin(self) -> None:
        """The program starts now."""
        self.begun = True
        self.began = time.monotonic()

    def follow(self) -> float:
        """Watch until everything that could write is dead, or a limit is hit; the seconds it took."""
        try:
            try:
                self.listen()
            except KeyboardInterrupt:
                self.limit = INTERRUPTED
            seconds = (self.ended or time.monotonic()) - self.began
            if self.limit:
                with suppress(KeyboardInterrupt):
                    self.ask_where()
                self.kill()
        finally:
            self.relieved.set()
        with suppress(KeyboardInterrupt):
            self.drain(DRAIN_SECONDS)
        for stream in (self.out, self.err):
            with suppress(KeyboardInterrupt):
                stream.close()
        return seconds

    def listen(self) -> None:
        while not self.limit and self.selector.get_map():
            self.pulse = time.monotonic()
            for key, _ in self.selector.select(self.patience()):
                self.read(key)
            if not self.limit and self.ended is None:
                self.limit = self.overrun()
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
        if self.ended is None and self.limit != "processes" and self.abort():
            self.drain(LAST_WORD_SECONDS)

    def drain(self, seconds: float) -> None:
        """Take what is still in the pipes, up to the caps, until all that could write is dead."""
        until = time.monotonic() + seconds
        while self.selector.get_map() and time.monotonic() < until:
            self.pulse = time.monotonic()
            for key, _ in self.selector.select(max(until - time.monotonic(), 0.0)):
                self.read(key)

    def read(self, key: selectors.SelectorKey) -> None:
        if key.fd not in self.selector.get_map():
            return  # what came before in the same batch has ended it
        if not isinstance(key.data, Stream):
            self.heard(key)
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

    def overrun(self) -> str:
        """The limit that has been hit, unless the program has ended and only the news of it is late."""
        found = self.exceeded()
        if not found or not self.over():
            return found
        self.late = self.late or time.monotonic()
        return found if time.monotonic() - self.late > DRAIN_SECONDS else ""

    def exceeded(self) -> str:
        """The limit that has been hit by now, if any."""
        if self.stopped():
            return INTERRUPTED
        now = time.monotonic()
        if now - self.began >= (self.limits.seconds if self.begun else self.setup_seconds):
            return "seconds"
        if now - self.measured < TICK_SECONDS or not (self.begun or now - self.began > SETTLED_SECONDS):
            return ""
        self.measured = now
        return self.overloaded() or ("disk" if self.spilled() else "")

    def overloaded(self) -> str:
        cap_mib = self.limits.memory_mib + SPARE / MIB
        now = load(self.root, cap_mib, 2 * PROCESSES, self.apart)
        self.peak_mib = max(self.peak_mib, now.memory_mib)
        if now.processes > 2 * PROCESSES:
            return "processes"
        return "memory" if now.memory_mib > cap_mib else ""
