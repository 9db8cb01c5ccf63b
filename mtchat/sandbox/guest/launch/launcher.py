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

from mtchat.sandbox.guest.lockdown import become_user, set_dumpable
from mtchat.sandbox.guest.program.chunks import run_program
from mtchat.sandbox.guest.wire import HELLO, SHARED_BYTES, receive_job, send_fds, send_result


def main(control: int, shared: int) -> None:
    """Pid 1 never returns from here; its child does, into the interpreter's own way of ending."""
    link = _socket.socket(fileno=control)
    os.set_inheritable(control, False)
    os.set_inheritable(shared, False)
    introduce(link)
    job = receive_job(link)
    if job.reader:
        from mtchat.sandbox.guest.lockdown import become_reader

        become_reader(job.user)
    elif job.user:
        become_user(job.user)
    set_dumpable(0)
    if job.checkpoints:
        from mtchat.sandbox.guest.launch.supervisor import supervise

        os.close(shared)
        state = supervise(job, link)
        while state.wait().play():
            continue
        return
    memory = mmap.mmap(shared, SHARED_BYTES)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        set_dumpable(1)
        link.close()
        run_program(job, memory, shared)
        return
    os.close(shared)
    _thread.start_new_thread(die_with_host, (link,))
    status, usage = wait_for(child)
    seconds = time.monotonic() - began
    kill_all()
    send_result(link, status, seconds, usage)
    os._exit(0)


def introduce(link: _socket.socket) -> None:
    """Hand the work folder to the host before any code of the program runs."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    send_fds(link, HELLO, [folder])
    os.close(folder)


def die_with_host(link: _socket.socket) -> None:
    """End, and all that runs here with it, when the host is gone and its end of the socket closes.

    bwrap's --die-with-parent does not reach a launcher that became another user.
    """
    link.recv(1)
    kill_all()
    os._exit(1)


def wait_for(child: int) -> tuple[int, resource.struct_rusage]:
    """The status of the child, reaping whatever else ends before it."""
    while True:
        pid, status, usage = os.wait4(-1, 0)
        if pid == child:
            return status, usage


def kill_all() -> None:
    """Nothing that the program started outlives it."""
    try:
        os.kill(-1, 9)
        while True:
            os.wait()
    except OSError:
        return


def launch_in_session(control: int, shared: int, work: str) -> None:
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
    run_in_session(_socket.socket(fileno=control), shared, gone)


def run_in_session(link: _socket.socket, shared: int, gone: int) -> None:
    introduce(link)
    job = receive_job(link)
    memory = mmap.mmap(shared, SHARED_BYTES)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        link.close()
        os.close(gone)
        run_program(job, memory, shared)
        return
    os.close(shared)
    _thread.start_new_thread(end_with_guard, (gone, child))
    _thread.start_new_thread(end_with_host, (link, child))
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - began
    kill_group(child)
    send_result(link, status, seconds, usage)
    os._exit(0)


def end_with_guard(gone: int, child: int) -> None:
    os.read(gone, 1)
    kill_program(child)
    os._exit(1)


def end_with_host(link: _socket.socket, child: int) -> None:
    link.recv(1)
    kill_program(child)
    os._exit(1)


def kill_program(child: int) -> None:
    """The program, which has not been reaped, and its group."""
    os.kill(child, 9)
    kill_group(child)


def kill_group(child: int) -> None:
    """All in the program's process group, whose number is the program's own."""
    try:
        os.killpg(child, 9)
    except OSError:
        return
