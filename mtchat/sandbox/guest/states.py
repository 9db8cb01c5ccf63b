"""A process that holds a state of the program and forks whatever goes on from it.

The state itself never runs on: a run is a fork, whose parent is pid 1, and when a chunk of it is finished
that fork leaves a fork of its own behind, the next state. So a state is what it was for as long as it is
alive, and any number of runs may begin from it.
"""

import _socket
import fcntl
import mmap
import posix as os  # what a program makes of the names in `os` does not reach us
import signal
import sys
import time

from mtchat.sandbox.guest.chunks import Player, confine, flush, prefer_as_victim, watch_faults
from mtchat.sandbox.guest.farewell import is_quiet
from mtchat.sandbox.guest.kernel import dumpable, received
from mtchat.sandbox.guest.leftovers import HIDING, reason
from mtchat.sandbox.guest.progress import HIGH_FD, Held, Progress, identity
from mtchat.sandbox.guest.wire import (
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
    high = fcntl.fcntl(link.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    link.close()
    return _socket.socket(fileno=high)


class State:
    """The process at rest: the program so far and the socket on which work comes."""

    def __init__(self, job: Job, link: _socket.socket) -> None:
        self.home = self.folder = os.getcwd()
        self.player = Player(job)
        self.link = link

    def rest(self) -> None:
        """Keep no streams of a run open, let nobody look in, and tell the host that this state is ready."""
        dumpable(0)
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
        dumpable(1)
        for fd, stream in ((out, 1), (err, 2)):
            os.dup2(fd, stream)
            os.close(fd)
        go_to(state.folder)
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
            if self.progress.ours:
                self.link.detach()  # or Python might warn that it was never closed
        self.end()
        return False

    def offer(self, index: int, part: int) -> bool:
        """Leave a state behind if the host wants one. True in the state."""
        if not self.progress.ours:
            return False
        flush()
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
        kept, link = chance(), _socket.socket(fileno=fds[0])
        try:
            link = lifted(link)
            if self.forked(last=part != HEAD and index == len(self.player.names) - 1):
                self.become_state(link)
                self.player.forget(index if part == HEAD else index + 1)
                restore(kept)
                self.state.rest()
                return True
        except OSError:
            self.why = HIDING  # the program left us no descriptors, or no processes
        restore(kept)
        link.close()
        self.hear()
        return False

    def forked(self, last: bool) -> bool:
        """Fork, True in the copy; the program, which may wait for its children, does not get one."""
        middle = os.fork()
        if last and not any("wait" in source for source in self.player.sources):
            return middle == 0
        if middle == 0:
            if os.fork():
                os._exit(0)
            return True
        os.waitpid(middle, 0)
        return False

    def hindrance(self, count: int) -> str:
        out, err = self.progress.streams
        known = {1: out.identity, 2: err.identity, out.fd: out.identity, err.fd: err.identity}
        known |= {self.shared: identity(self.shared), self.place.fd: self.place.identity}
        try:
            return reason(self.player.sources[:count], known)
        except Exception:
            return HIDING

    def become_state(self, link: _socket.socket) -> None:
        import faulthandler

        os.setsid()
        faulthandler.disable()
        self.progress.close()
        self.link.close()
        self.memory.close()
        os.close(self.shared)
        self.state.folder = os.getcwd()
        self.state.link = link

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
        if self.why or not self.progress.ours or not self.quiet():
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

    def quiet(self) -> bool:
        try:
            return is_quiet(vars(self.player.main), sys.modules, self.state.home)
        except Exception:
            return False


def contents(fd: int) -> bytes:
    """All that a file holds, which is closed."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    return data


def go_to(folder: str) -> None:
    """The folder of a state by its name: what had that name then may have been made anew since."""
    try:
        os.chdir(folder)
    except OSError:
        return


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
    figures = sys.modules.get("mtchat.sandbox.guest.figures")
    if figures is not None:
        figures.owner = os.getpid()  # type: ignore[attr-defined]
