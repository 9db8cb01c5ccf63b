"""What keeps a state from being forked: whatever two copies would share, or a copy would lack."""

import os
import signal
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TELLING = {
    "getpid": "asks for its process number",
    "register_at_fork": "watches for copies of itself",
    "settrace": "traces itself",
    "setprofile": "traces itself",
    "gc.freeze": "freezes its memory",
}
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
OF_OURS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP)


def reason(sources: "Iterable[str]", known: "set[tuple[int, int]]") -> str:
    """Why this process cannot go on in two copies, as what the turn did; "" when it can.

    The files in `known`, by device and inode, are ours.
    """
    text = "\n".join(sources)
    return (
        next((why for word, why in TELLING.items() if word in text), "")
        or of_threads()
        or of_descriptors(known)
        or of_signals()
        or of_memory()
    )


def of_threads() -> str:
    """Threads and processes end where a copy is made; a copy cannot wait for the processes either."""
    if len(os.listdir("/proc/self/task")) > 1:
        return "keeps a thread running"
    with open("/proc/self/task/" + str(os.getpid()) + "/children", "rb") as file:
        return "keeps a process running" if file.read().strip() else ""


def of_descriptors(known: "set[tuple[int, int]]") -> str:
    """Copies would share the position in a file, and what comes in over a connection."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(entry))
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in known:
            continue
        mode = status.st_mode
        if of_a_package(entry):
            continue
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return "keeps a file open"
        if not stat.S_ISCHR(mode):
            return "keeps a connection open"
    if None in (sys.stdout, sys.stderr, sys.stdin) or sys.stdout.closed or sys.stderr.closed:
        return "closes its output"
    return ""


def of_a_package(entry: str) -> bool:
    """Whether a descriptor is a package's own data, such as a font: who reads those seeks first."""
    try:
        return "/site-packages/" in os.readlink("/proc/self/fd/" + entry)
    except OSError:
        return False


def of_signals() -> str:
    if any(signal.getitimer(timer)[0] for timer in TIMERS):
        return "keeps a timer running"
    if any(signal.getsignal(number) != signal.SIG_DFL for number in OF_OURS):
        return "handles signals"
    return ""


def of_memory() -> str:
    with open("/proc/self/maps", "rb") as file:
        shared = [line for line in file.read().splitlines() if line[line.find(b" ") + 1 :][1:4] == b"w-s"]
    # One is ours: the memory that the host reads.
    return "shares memory" if len(shared) > 1 else ""
