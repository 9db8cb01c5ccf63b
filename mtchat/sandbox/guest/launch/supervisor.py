"""Pid 1 of a sandbox with checkpoints: keeps the fork servers, watches one run at a time, copies their files.

Between runs every fork server is stopped, so nothing runs unwatched, not even a fork server that a program
has taken over.
"""

import _socket
import os
import resource
import select
import signal
import time

from mtchat.sandbox.guest.fork.fork_server import ForkServer, first_server
from mtchat.sandbox.guest.lockdown import set_dumpable
from mtchat.sandbox.guest.wire import (
    COPIED,
    DROP,
    FORGET,
    KEEP_PROCESS,
    LOAD,
    READY,
    SAVE,
    SWEEP,
    SWEPT,
    WATCH,
    LaunchJob,
    receive_exactly,
    receive_fds,
    send_fds,
    send_result,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PAUSE_SECONDS = 0.001


def supervise(job: LaunchJob, link: _socket.socket) -> ForkServer:
    """Serve the host until it goes away. Returns only in the process of the first fork server."""
    _, fds = receive_fds(link, 1, 1)
    if os.fork() == 0:
        set_dumpable(1)
        link.close()
        return first_server(job, _socket.socket(fileno=fds[0]))
    os.close(fds[0])
    return Supervisor(link).serve()


class Supervisor:
    """Pid 1: knows the processes to keep and the run in progress."""

    def __init__(self, link: _socket.socket) -> None:
        from mtchat.sandbox.guest.launch.workdir_copy import WorkdirCopier

        self.link = link
        self.copier = WorkdirCopier([os.getcwd(), os.environ.get("TMPDIR", "/tmp"), "/dev/shm"])
        self.kept: set[int] = set()
        self.watched = 0
        self.began = 0.0
        self.woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake)
        folders = [os.open(root, os.O_RDONLY | os.O_DIRECTORY) for root in self.copier.roots[1:]]
        send_fds(link, READY, folders)
        for folder in folders:
            os.close(folder)

    def serve(self) -> "NoReturn":
        poll = select.poll()
        poll.register(self.link.fileno(), select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self.woken in ready:
                self.drain()
            if self.link.fileno() in ready:
                self.handle_command()
            self.reap()

    def drain(self) -> None:
        try:
            while os.read(self.woken, 4096):
                pass
        except BlockingIOError:
            return

    def handle_pending(self) -> None:
        while select.select([self.link], [], [], 0)[0]:
            self.handle_command()

    def handle_command(self) -> None:
        """Do one command of the host; if the host is gone, everything ends."""
        word = self.link.recv(1)
        if not word:
            self.kept.clear()
            self.sweep()
            os._exit(0)
        number = int.from_bytes(receive_exactly(self.link, 8), "little")
        if word == WATCH:
            self.watched, self.began = number, time.monotonic()
        elif word == KEEP_PROCESS:
            self.kept.add(number)
        elif word == DROP:
            self.drop(number)
        elif word == SWEEP and self.watched:
            self.sweep()
        elif word in (SAVE, LOAD, FORGET):
            self.link.sendall(COPIED + self.copier.copy_workdir(word, number).to_bytes(8, "little"))

    def drop(self, pid: int) -> None:
        self.kept.discard(pid)
        try:
            os.kill(pid, 9)
        except OSError:
            return

    def reap(self) -> None:
        """Reap what has ended; with the run, everything that it has started ends too."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # Commands that the host sent about this process before it ended have arrived by now.
            self.handle_pending()
            self.kept.discard(pid)
            if pid == self.watched:
                self.close_run(status, usage)

    def close_run(self, status: int, usage: resource.struct_rusage) -> None:
        seconds = time.monotonic() - self.began
        self.watched = 0
        self.sweep()
        send_result(self.link, status, seconds, usage, SWEPT)

    def sweep(self) -> None:
        """Stop all processes at once, so that none escapes by forking; then end all but the fork servers."""
        try:
            os.kill(-1, signal.SIGSTOP)
        except OSError:
            return
        while rest := [pid for pid in list_others() if pid not in self.kept and pid != self.watched]:
            for pid in rest:
                self.drop(pid)
            if self.watched:
                self.drop(self.watched)
            if not self.reap_dead() and all(is_dead(pid) for pid in rest):
                return
        if self.watched:
            self.drop(self.watched)

    def reap_dead(self) -> bool:
        """Reap what is dead, except the watched run, which is left to `reap`; whether anything was reaped."""
        found = False
        time.sleep(PAUSE_SECONDS)
        for pid in list_others():
            if pid != self.watched:
                try:
                    found = os.waitpid(pid, os.WNOHANG)[0] != 0 or found
                except OSError:
                    continue
        return found


def list_others() -> list[int]:
    """Every other process in this sandbox."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1"]


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or a zombie that its stopped parent will reap later."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True
