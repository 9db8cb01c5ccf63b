"""A process that holds a state of the program and forks whatever goes on from it.

The state itself never runs on: a run is a fork, whose parent is pid 1, and when a chunk of it is finished
that fork leaves a fork of its own behind, the next state. So a state is what it was for as long as it is
alive, and any number of runs may begin from it.
"""

import _socket
import mmap
import os
import re
import signal
import sys
import time

from mtchat.sandbox.inside.chunks import Player, confine, prefer_as_victim, watch_faults
from mtchat.sandbox.inside.kernel import received
from mtchat.sandbox.inside.leftovers import reason
from mtchat.sandbox.inside.progress import HIGH_FD, Held, Progress, identity
from mtchat.sandbox.inside.wire import (
    BUSY,
    HEAD,
    HELD,
    KEEP,
    REST,
    SHARED_BYTES,
    STEP,
    WHOLE,
    WORTHWHILE_SECONDS,
    Job,
    Work,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LAST_WORDS = re.compile("__del__|weakref|yield")
WORD_BYTES = 16
DESCRIPTORS = 5  # stdout, stderr, shared memory, the socket of the run, the work


def hold(job: Job, link: _socket.socket) -> "State":
    """The state before the first chunk."""
    os.setsid()
    prefer_as_victim()
    confine(job)
    state = State(job, lifted(link))
    state.rest()
    return state


def parts(head: int, begun: bool) -> tuple[int, ...]:
    """In what parts to run a chunk: one that begins with imports in two, so that they can be kept alone."""
    if not head:
        return (WHOLE,)
    return (REST,) if begun else (HEAD, REST)


def lifted(link: _socket.socket) -> _socket.socket:
    """The same socket under a number that programs do not reach."""
    import fcntl

    high = fcntl.fcntl(link.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    link.close()
    return _socket.socket(fileno=high)


class State:
    """The process at rest: the program so far and the socket on which work comes."""

    def __init__(self, job: Job, link: _socket.socket) -> None:
        self.player = Player(job)
        self.link = link

    def rest(self) -> None:
        """Keep no streams of a run open, and tell the host that this state is ready."""
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        os.close(null)
        # What a state forks is not its own to wait for.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.link.send(HELD)

    def wait(self) -> "Run":
        """Wait for work, for ever; returns in a fork that does it."""
        while True:
            word, fds = received(self.link, WORD_BYTES, DESCRIPTORS)
            if not word:
                os._exit(0)
            kept = chance()
            middle = os.fork()
            if middle:
                for fd in fds:
                    os.close(fd)
                self.link.send(HELD)
                continue
            # The parent of a run is pid 1, as in any run, because the process between ends at once. Should
            # the run be quicker, nobody may wait for it before pid 1.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if os.fork():
                os._exit(0)
            restore(kept)
            self.link.close()
            return Run(self, *fds)


class Run:
    """A fork of a state that goes on with the program."""

    def __init__(self, state: State, out: int, err: int, shared: int, link: int, work: int) -> None:
        os.setsid()
        for fd, stream in ((out, 1), (err, 2)):
            os.dup2(fd, stream)
            os.close(fd)
        self.state, self.work, self.player = state, Work.unpack(contents(work)), state.player
        self.link = lifted(_socket.socket(fileno=link))
        self.place = Held(self.link.fileno())
        self.memory = mmap.mmap(shared, SHARED_BYTES)
        self.shared = watch_faults(shared)
        self.progress = Progress(self.memory, self.work.mark)
        self.why = ""

    def play(self) -> bool:
        """Run the chunks. True in the fork that is to be a state; the run itself never returns True."""
        work, player = self.work, self.player
        adopt_figures()
        self.memory[0:4] = work.first.to_bytes(4, "little")
        self.ask(BUSY)
        player.learn(work.names, work.sources)
        try:
            for offset, head in enumerate(work.heads):
                for part in parts(head, work.begun and offset == 0):
                    began = time.monotonic()
                    player.step(self.progress, work.first + offset, part, head)
                    worth = part != HEAD or time.monotonic() - began > WORTHWHILE_SECONDS
                    if worth and self.offer(work.first + offset, part):
                        return True
            player.finish(self.progress)
        except BaseException as error:
            self.why = "failed"
            player.fail(error, self.progress)
        finally:
            if work.look:
                player.look(self.progress)
        self.end()
        return False

    def offer(self, index: int, part: int) -> bool:
        """Leave a state behind if the host wants one. True in the state."""
        if not self.progress.ours:
            return False
        flush_all()
        self.why = self.hindrance(index + 1)
        words = [
            STEP,
            index.to_bytes(4, "little"),
            bytes([part == HEAD]),
            self.why.encode("utf-8", "replace"),
        ]
        answer, fds = self.ask(b"".join(words))
        if answer != KEEP or self.why or len(fds) != 1:
            return False
        kept = chance()
        if self.forked(last=part != HEAD and index == len(self.player.names) - 1):
            self.become_state(fds[0])
            self.player.forget(index if part == HEAD else index + 1)
            restore(kept)
            self.state.rest()
            return True
        restore(kept)
        os.close(fds[0])
        self.hear()
        return False

    def forked(self, last: bool) -> bool:
        """Fork, True in the copy. Unless no chunk follows, the program must not see a child."""
        middle = os.fork()
        if last:
            return middle == 0
        if middle == 0:
            if os.fork():
                os._exit(0)
            return True
        os.waitpid(middle, 0)
        return False

    def hindrance(self, count: int) -> str:
        ours = (self.shared, self.link.fileno())
        known = {*map(identity, ours), *(held.identity for held in self.progress.streams)}
        try:
            return reason(self.player.sources[:count], known)
        except Exception:
            return "hides what it keeps"

    def become_state(self, link: int) -> None:
        import faulthandler

        os.setsid()
        faulthandler.disable()
        self.progress.close()
        self.link.close()
        self.memory.close()
        os.close(self.shared)
        self.state.link = lifted(_socket.socket(fileno=link))

    def ask(self, word: bytes) -> tuple[bytes, list[int]]:
        """Tell the host and wait for its answer; b"" where the program has closed our descriptors."""
        if not self.place.there:
            return b"", []
        try:
            self.link.send(word)
        except OSError:
            return b"", []
        return self.hear()

    def hear(self) -> tuple[bytes, list[int]]:
        try:
            return received(self.link, WORD_BYTES, 1) if self.place.there else (b"", [])
        except OSError:
            return b"", []

    def end(self) -> None:
        """End the process: the short way where nobody could tell the difference."""
        if self.why or LAST_WORDS.search("\n".join(self.player.sources)) or not self.progress.ours:
            return
        import atexit

        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
        except BaseException:
            os._exit(120)
        os._exit(0)


def contents(fd: int) -> bytes:
    """All that a file holds, which is closed."""
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read()


def chance() -> "Any":
    """The state of `random`, which a fork would otherwise seed anew."""
    module = sys.modules.get("random")
    try:
        return module and module._inst.getstate()
    except Exception:
        return None


def restore(kept: "Any") -> None:
    if kept:
        sys.modules["random"]._inst.setstate(kept)


def adopt_figures() -> None:
    """Figures that are still open are saved by the process that ends the program."""
    figures = sys.modules.get("mtchat.sandbox.inside.figures")
    if figures is not None:
        figures.owner = os.getpid()  # type: ignore[attr-defined]


def flush_all() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
