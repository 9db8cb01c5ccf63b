"""The launcher without a process namespace: as a subreaper it finds and ends all that the program started.

There are two processes, the launcher and its parent, the guard: each cleans up if the other is killed. Both
stay outside the lockdown, which the program's process applies to itself before any of its code runs.
"""

import _socket
import _thread
import mmap
import os
import resource
import time

from mtchat.sandbox.guest.launch.launcher import introduce
from mtchat.sandbox.guest.lockdown import Confinement, apply, prctl, set_dumpable
from mtchat.sandbox.guest.program.chunks import raise_oom_score, run_program
from mtchat.sandbox.guest.wire import SHARED_BYTES, receive_job, send_result

PR_SET_CHILD_SUBREAPER = 36
PAUSE_SECONDS = 0.0005


def launch_as_reaper(control: int, shared: int, work: str, processes: int, *restrictions: int) -> None:
    """Guard and launcher never return from here; their child does, and then ends as Python ends."""
    confinement = Confinement(*restrictions)
    os.chdir(work)
    for descriptor in (control, shared, *confinement.descriptors):
        os.set_inheritable(descriptor, False)
    become_subreaper()
    gone, alive = os.pipe()
    launcher = os.fork()
    if launcher:
        for descriptor in (control, shared, gone, *confinement.descriptors):
            os.close(descriptor)
        Reaper().wait_for(launcher)
        kill_children()
        os._exit(0)
    os.close(alive)
    become_subreaper()
    run_and_reap(_socket.socket(fileno=control), shared, gone, processes, confinement)


def become_subreaper() -> None:
    """Become the parent of orphaned descendants, so that no daemon escapes."""
    set_dumpable(0)
    if prctl(PR_SET_CHILD_SUBREAPER, 1) != 0:
        os._exit(70)


def run_and_reap(
    link: _socket.socket, shared: int, gone: int, processes: int, confinement: Confinement
) -> None:
    """Run the program in a child and report; `gone` becomes readable when the guard ends."""
    introduce(link)
    job = receive_job(link)
    job.rlimits = [raise_process_limit(each, processes) for each in job.rlimits]
    memory = mmap.mmap(shared, SHARED_BYTES)
    launcher = os.getpid()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        link.close()
        os.close(gone)
        raise_oom_score()
        apply(confinement, launcher)
        run_program(job, memory, shared)
        return
    for descriptor in (shared, *confinement.descriptors):
        os.close(descriptor)
    reaper = Reaper()
    _thread.start_new_thread(reaper.end_after, (link.fileno(),))
    _thread.start_new_thread(reaper.end_after, (gone,))
    status, usage = reaper.wait_for(child)
    seconds = time.monotonic() - began
    kill_children()
    send_result(link, status, seconds, usage)
    os._exit(0)


def raise_process_limit(limit: tuple[int, int, int], processes: int) -> tuple[int, int, int]:
    """Raise the process limit by the user's other processes, because the kernel counts them too."""
    number, _, _ = limit
    return (number, processes, processes) if number == resource.RLIMIT_NPROC else limit


class Reaper:
    """Reaps children one at a time, so that no process ID is free while another thread may signal it."""

    def __init__(self) -> None:
        self.lock = _thread.allocate_lock()

    def wait_for(self, child: int) -> tuple[int, resource.struct_rusage]:
        """The status of a child, reaping whatever else ends before it; holds the lock when it returns."""
        while True:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            self.lock.acquire()
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == child:
                return status, usage
            self.lock.release()

    def end_after(self, descriptor: int) -> None:
        """End everything when the process at the other end of a descriptor is gone."""
        os.read(descriptor, 1)
        self.lock.acquire()
        kill_children()
        os._exit(1)


def kill_children() -> None:
    """Kill every child until none is left; their children become ours as they die.

    Only unreaped children of this process are signalled, so no ID can belong to another process.
    """
    while True:
        for pid in list_children():
            os.kill(pid, 9)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(PAUSE_SECONDS)


def list_children() -> list[int]:
    """The living and dead children of every thread of this process."""
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children", "rb") as file:
            found += map(int, file.read().split())
    return found
