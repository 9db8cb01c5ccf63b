"""Pid 1 of the sandbox: runs the program in a child, waits for it, and reports how it ended.

Two ways lead back to the host. The control socket is pid 1's alone: the work folder and, at the end, the
kernel's word on the child. The shared memory is the child's: which chunk is running, and the error. A
program can forge the second, never the first. Imports here cost every run, so there are few.
"""

import _ctypes
import _socket
import _thread
import mmap
import os
import resource
import sys
import time

from mtchat.sandbox.inside.chunks import play
from mtchat.sandbox.inside.wire import HELLO, SHARED_BYTES, Job

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4


def main(control: int, shared: int) -> None:
    """Pid 1 never returns from here; its child does, into the interpreter's own way of ending."""
    link = _socket.socket(fileno=control)
    os.set_inheritable(control, False)
    os.set_inheritable(shared, False)
    introduce(link)
    job = Job.unpack(exactly(link, int.from_bytes(exactly(link, 8), "little")))
    memory = mmap.mmap(shared, SHARED_BYTES)
    if job.user:
        become(job.user)
    dumpable(0)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        dumpable(1)
        link.close()
        play(job, memory, shared)
        return
    os.close(shared)
    _thread.start_new_thread(die_with_host, (link,))
    status, usage = wait_for(child)
    seconds = time.monotonic() - began
    sweep()
    numbers = (status, seconds * 1e6, usage.ru_utime * 1e6, usage.ru_stime * 1e6, usage.ru_maxrss)
    link.sendall(b"".join(int(number).to_bytes(8, "little") for number in numbers))
    os._exit(0)


def become(user: int) -> None:
    """Give up root for good: the kernel counts processes against any user but root."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def introduce(link: _socket.socket) -> None:
    """Hand the work folder to the host before any code of the program runs."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, folder.to_bytes(4, sys.byteorder))
    link.sendmsg([HELLO], [rights])
    os.close(folder)


def exactly(link: _socket.socket, count: int) -> bytes:
    """That many bytes from the host; without a host there is nothing left to do."""
    got = bytearray()
    while len(got) < count:
        piece = link.recv(min(count - len(got), 1 << 20))
        if not piece:
            os._exit(0)
        got += piece
    return bytes(got)


def die_with_host(link: _socket.socket) -> None:
    """End, and all that runs here with it, when the host is gone and its end of the socket closes.

    bwrap's --die-with-parent does not reach a launcher that became another user.
    """
    link.recv(1)
    sweep()
    os._exit(1)


def dumpable(value: int) -> None:
    """Whether /proc/PID is open to processes of the same user."""
    prctl(PR_SET_DUMPABLE, value)
    if prctl(PR_GET_DUMPABLE, 0) != value:
        os._exit(70)


def prctl(option: int, value: int) -> int:
    """The system call; the `ctypes` module itself would cost 2 ms more."""
    itself = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    return int(_ctypes.call_function(_ctypes.dlsym(itself, "prctl"), (option, value, 0, 0, 0)))


def wait_for(child: int) -> tuple[int, resource.struct_rusage]:
    """The status of the child, reaping whatever else ends before it."""
    while True:
        pid, status, usage = os.wait4(-1, 0)
        if pid == child:
            return status, usage


def sweep() -> None:
    """Nothing that the program started outlives it."""
    try:
        os.kill(-1, 9)
        while True:
            os.wait()
    except OSError:
        return
