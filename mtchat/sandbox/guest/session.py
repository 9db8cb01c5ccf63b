"""The launcher of a system without /proc and prctl: it knows the program by its session, and ends that.

A program that starts a session of its own in a child can leave that child behind; it stays contained.
"""

import _socket
import _thread
import mmap
import os
import time

from mtchat.sandbox.guest.chunks import play
from mtchat.sandbox.guest.kernel import job_of, report
from mtchat.sandbox.guest.launcher import introduce
from mtchat.sandbox.guest.wire import SHARED_BYTES


def main(control: int, shared: int, work: str) -> None:
    """Two processes: the first is whom the host kills, whereupon the second ends the program."""
    os.chdir(work)
    for descriptor in (control, shared):
        os.set_inheritable(descriptor, False)
    gone, alive = os.pipe()
    launcher = os.fork()
    if launcher:
        for descriptor in (control, shared, gone):
            os.close(descriptor)
        os.waitpid(launcher, 0)
        os._exit(0)
    os.close(alive)
    launch(_socket.socket(fileno=control), shared, gone)


def launch(link: _socket.socket, shared: int, gone: int) -> None:
    introduce(link)
    job = job_of(link)
    memory = mmap.mmap(shared, SHARED_BYTES)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        link.close()
        os.close(gone)
        play(job, memory, shared)
        return
    os.close(shared)
    _thread.start_new_thread(die_with_guard, (gone, child))
    _thread.start_new_thread(die_with_host, (link, child))
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - began
    end_group(child)
    report(link, status, seconds, usage)
    os._exit(0)


def die_with_guard(gone: int, child: int) -> None:
    os.read(gone, 1)
    end(child)
    os._exit(1)


def die_with_host(link: _socket.socket, child: int) -> None:
    link.recv(1)
    end(child)
    os._exit(1)


def end(child: int) -> None:
    """The program, which has not been reaped, and its group."""
    os.kill(child, 9)
    end_group(child)


def end_group(child: int) -> None:
    """All in the program's process group, whose number is the program's own."""
    try:
        os.killpg(child, 9)
    except OSError:
        return
