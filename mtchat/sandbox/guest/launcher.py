"""Pid 1 of the sandbox: runs the program in a child, waits for it, and reports how it ended.

Two ways lead back to the host. The control socket is pid 1's alone: the work folder and, at the end, the
kernel's word on the child. The shared memory is the child's: which chunk is running, and the error. A
program can forge the second, never the first. Imports here cost every run, so there are few.
"""

import _socket
import _thread
import mmap
import os
import resource
import time

from mtchat.sandbox.guest.chunks import play
from mtchat.sandbox.guest.kernel import become, dumpable, hand_over, job_of, report
from mtchat.sandbox.guest.wire import HELLO, SHARED_BYTES


def main(control: int, shared: int) -> None:
    """Pid 1 never returns from here; its child does, into the interpreter's own way of ending."""
    link = _socket.socket(fileno=control)
    os.set_inheritable(control, False)
    os.set_inheritable(shared, False)
    introduce(link)
    job = job_of(link)
    if job.reader:
        from mtchat.sandbox.guest.fence import become_reader

        become_reader(job.user)
    elif job.user:
        become(job.user)
    dumpable(0)
    if job.warm:
        from mtchat.sandbox.guest.keeper import keep

        os.close(shared)
        state = keep(job, link)
        while state.wait().play():
            continue
        return
    memory = mmap.mmap(shared, SHARED_BYTES)
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
    report(link, status, seconds, usage)
    os._exit(0)


def introduce(link: _socket.socket) -> None:
    """Hand the work folder to the host before any code of the program runs."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    hand_over(link, HELLO, [folder])
    os.close(folder)


def die_with_host(link: _socket.socket) -> None:
    """End, and all that runs here with it, when the host is gone and its end of the socket closes.

    bwrap's --die-with-parent does not reach a launcher that became another user.
    """
    link.recv(1)
    sweep()
    os._exit(1)


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
