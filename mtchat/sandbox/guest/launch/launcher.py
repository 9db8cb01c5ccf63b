"""Pid 1 of the sandbox: runs the program in a child, waits for it, and reports how it ended.

Two channels lead back to the host. Only pid 1 has the control socket: it hands over the work folder and, at
the end, the exit status of the child from the kernel. The shared memory belongs to the child: which chunk is
running, and the error. A program can forge the second, but not the first. Every import here costs every run.

`main` is for a process namespace. `launch_in_session` is for a system without /proc and prctl: it knows the
program by its session. There a child that starts a session of its own can stay behind, still contained.
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
    """Pid 1 never returns from here; its child does, and then ends as Python ends."""
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
        server = supervise(job, link)
        while server.serve().run():
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
    """End everything here when the host is gone and its end of the socket closes.

    bwrap's --die-with-parent does not work for a launcher that became another user.
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
    """End everything that the program has started."""
    try:
        os.kill(-1, 9)
        while True:
            os.wait()
    except OSError:
        return


def launch_in_session(control: int, shared: int, work: str) -> None:
    """Two processes: the host kills the first one, and then the second one ends the program."""
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
    """End the program, which has not been reaped, and its process group."""
    os.kill(child, 9)
    kill_group(child)


def kill_group(child: int) -> None:
    """End the program's process group, whose ID is the program's own."""
    try:
        os.killpg(child, 9)
    except OSError:
        return
