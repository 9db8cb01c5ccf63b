"""A checkpoint: a process that holds the memory of a program and forks each run that resumes from it.

A fork server never runs the program itself. A run is a fork of it, whose parent is pid 1; when the run has
finished a chunk, it forks a copy of itself, which becomes the next fork server. So a fork server stays as it
is, and any number of runs can start from it.
"""

import _socket
import fcntl
import mmap
import posix as os  # what a program makes of the names in `os` does not reach us
import signal
import sys
import time

from mtchat.sandbox.guest.fork import fast_exit, fork_hazards
from mtchat.sandbox.guest.fork.fork_hazards import HIDING
from mtchat.sandbox.guest.lockdown import set_dumpable
from mtchat.sandbox.guest.program.chunks import (
    HIGH_FD,
    OwnDescriptor,
    ProgramRunner,
    ProgressReport,
    flush,
    identity,
    raise_oom_score,
    set_limits,
    watch_faults,
)
from mtchat.sandbox.guest.wire import (
    BUSY,
    HEAD,
    KEEP,
    REST,
    SERVING,
    SHARED_BYTES,
    SLOW_IMPORT_SECONDS,
    STEP,
    WHOLE,
    LaunchJob,
    ResumeJob,
    receive_fds,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORD_BYTES = 16
DESCRIPTORS = 5  # stdout, stderr, shared memory, the socket of the run, the work


def first_server(job: LaunchJob, link: _socket.socket) -> "ForkServer":
    """The fork server before the first chunk."""
    os.setsid()
    raise_oom_score()
    set_limits(job)
    server = ForkServer(job, move_high(link))
    server.announce()
    return server


def split_parts(head: int, begun: bool) -> tuple[int, ...]:
    """The parts in which to run a chunk: leading imports apart, for a snapshot after them."""
    if not head:
        return (WHOLE,)
    return (REST,) if begun else (HEAD, REST)


def move_high(link: _socket.socket) -> _socket.socket:
    """The same socket under a high number, out of the way of programs."""
    high = fcntl.fcntl(link.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    link.close()
    return _socket.socket(fileno=high)


class ForkServer:
    """The program so far, and the socket on which work arrives."""

    def __init__(self, job: LaunchJob, link: _socket.socket) -> None:
        self.home = self.folder = os.getcwd()
        self.runner = ProgramRunner(job)
        self.link = link

    def announce(self) -> None:
        """Close the streams of the run, deny other processes access, and tell the host that we are ready."""
        set_dumpable(0)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        os.close(null)
        # Pid 1 reaps what this process forks.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.link.send(SERVING)

    def serve(self) -> "ForkedRun":
        """Wait for work, forever; returns only in a fork that does it."""
        while True:
            word, fds = receive_fds(self.link, WORD_BYTES, DESCRIPTORS)
            if not word:
                os._exit(0)
            kept = random_state()
            middle = os.fork()
            if middle:
                for fd in fds:
                    os.close(fd)
                self.link.send(SERVING)
                continue
            # The process between ends at once, so that the parent of a run is pid 1, as in any run. If the
            # run ends first, nobody may reap it before pid 1.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if os.fork():
                os._exit(0)
            restore_random(kept)
            self.link.close()
            return ForkedRun(self, *fds)


class ForkedRun:
    """A fork of a fork server that resumes the program."""

    def __init__(self, server: ForkServer, out: int, err: int, shared: int, link: int, work: int) -> None:
        os.setsid()
        set_dumpable(1)
        for fd, stream in ((out, 1), (err, 2)):
            os.dup2(fd, stream)
            os.close(fd)
        change_folder(server.folder)
        self.server, self.work, self.runner = server, ResumeJob.unpack(read_all(work)), server.runner
        self.link = move_high(_socket.socket(fileno=link))
        self.link_descriptor = OwnDescriptor(self.link.fileno())
        self.memory = mmap.mmap(shared, SHARED_BYTES)
        self.shared = watch_faults(shared)
        self.progress = ProgressReport(self.memory, self.work.mark)
        self.hazard = ""

    def run(self) -> bool:
        """Run the chunks. True in a fork that becomes a fork server; the run itself never returns True."""
        work, runner = self.work, self.runner
        adopt_figures()
        self.memory[0:4] = work.first.to_bytes(4, "little")
        self.request(BUSY)
        runner.add_chunks(work.names, work.sources)
        try:
            for offset, head in enumerate(work.heads):
                for part in split_parts(head, work.begun and offset == 0):
                    began = time.monotonic()
                    runner.step(self.progress, work.first + offset, part, head)
                    worth = part != HEAD or time.monotonic() - began > SLOW_IMPORT_SECONDS
                    if worth and self.leave_snapshot(work.first + offset, part):
                        return True
            runner.finish(self.progress)
        except BaseException as error:
            self.hazard = "failed"
            runner.fail(error, self.progress)
        finally:
            runner.report_end(self.progress, work.with_variables, work.with_state)
            if self.progress.ours:
                self.link.detach()  # otherwise Python may warn that it was not closed
        self.exit()
        return False

    def leave_snapshot(self, index: int, part: int) -> bool:
        """Take a snapshot if the host wants one. True in the new fork server."""
        if not self.progress.ours:
            return False
        flush()
        self.hazard = self.find_hazard(index + 1)
        words = [
            STEP,
            index.to_bytes(4, "little"),
            bytes([part == HEAD]),
            self.hazard.encode("utf-8", "replace"),
        ]
        answer, fds = self.request(b"".join(words))
        if answer != KEEP or self.hazard or len(fds) != 1:
            return False
        kept, link = random_state(), _socket.socket(fileno=fds[0])
        try:
            link = move_high(link)
            if self.fork_copy(last=part != HEAD and index == len(self.runner.names) - 1):
                self.become_server(link)
                self.runner.forget(index if part == HEAD else index + 1)
                restore_random(kept)
                self.server.announce()
                return True
        except OSError:
            self.hazard = HIDING  # the program has used up descriptors or processes
        restore_random(kept)
        link.close()
        self.receive_answer()
        return False

    def fork_copy(self, last: bool) -> bool:
        """Fork; True in the copy, which is no child of the program, since that may wait for its children."""
        middle = os.fork()
        if last and not any("wait" in source for source in self.runner.sources):
            return middle == 0
        if middle == 0:
            if os.fork():
                os._exit(0)
            return True
        os.waitpid(middle, 0)
        return False

    def find_hazard(self, count: int) -> str:
        out, err = self.progress.streams
        known = {1: out.identity, 2: err.identity, out.fd: out.identity, err.fd: err.identity}
        known |= {self.shared: identity(self.shared), self.link_descriptor.fd: self.link_descriptor.identity}
        try:
            return fork_hazards.find_hazard(self.runner.sources[:count], known)
        except Exception:
            return HIDING

    def become_server(self, link: _socket.socket) -> None:
        import faulthandler

        os.setsid()
        faulthandler.disable()
        self.progress.close()
        self.link.close()
        self.memory.close()
        os.close(self.shared)
        self.server.folder = os.getcwd()
        self.server.link = link

    def request(self, word: bytes) -> tuple[bytes, list[int]]:
        """Send a message to the host and wait for its answer; b"" if the program has closed our socket."""
        if not self.link_descriptor.there:
            return b"", []
        try:
            self.link.send(word)
        except OSError:
            return b"", []
        return self.receive_answer()

    def receive_answer(self) -> tuple[bytes, list[int]]:
        try:
            return receive_fds(self.link, WORD_BYTES, 1) if self.link_descriptor.there else (b"", [])
        except OSError:
            return b"", []

    def exit(self) -> None:
        """End the process, without finalizers if nobody could notice the difference."""
        if self.hazard or not self.progress.ours or not self.can_exit_fast():
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

    def can_exit_fast(self) -> bool:
        try:
            return fast_exit.can_skip_finalizers(vars(self.runner.main), sys.modules, self.server.home)
        except Exception:
            return False


def read_all(fd: int) -> bytes:
    """The whole content of a file, which is then closed."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    return data


def change_folder(folder: str) -> None:
    """Enter a folder by its name, since the folder may have been recreated meanwhile."""
    try:
        os.chdir(folder)
    except OSError:
        return


def random_state() -> "Any":
    """The state of `random`, which Python reseeds in a fork."""
    module = sys.modules.get("random")
    try:
        return module and module._inst.getstate()
    except Exception:
        return None


def restore_random(kept: "Any") -> None:
    if kept:
        sys.modules["random"]._inst.setstate(kept)


def adopt_figures() -> None:
    """Make this process the one that saves open figures when the program ends."""
    figures = sys.modules.get("mtchat.sandbox.guest.patches.figures")
    if figures is not None:
        figures.owner = os.getpid()  # type: ignore[attr-defined]
