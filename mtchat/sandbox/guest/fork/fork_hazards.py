"""Finds hazards: what two copies of a process would share, or what a copy would lack."""

import posix
import signal
import stat
import sys
import time

from mtchat.sandbox.guest.patches.import_patches import FORKABLE, TASKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

REVEALING_WORDS = {
    "getpid": "reads its process ID",
    "process_time": "measures its CPU time",
    "thread_time": "measures its CPU time",
    "getrusage": "measures its CPU time",
    "os.times": "measures its CPU time",
    "register_at_fork": "installs a hook into the interpreter",
    "addaudithook": "installs a hook into the interpreter",
    "gc.freeze": "freezes its memory",
}
THREAD, PROCESS = "keeps a thread running", "keeps a process running"
NEW_THREAD, NEW_PROCESS = "holds a thread that has not started", "holds a process that has not started"
FILE, CONNECTION, OUTPUT = "keeps a file open", "keeps a connection open", "redirects its output"
TIMER, SIGNALS, MEMORY = "keeps a timer running", "handles signals", "shares memory"
TRACING, HIDING = "installs a trace function", "hides part of its state"
HAZARDS = {
    *REVEALING_WORDS.values(),
    *(THREAD, PROCESS, NEW_THREAD, NEW_PROCESS, FILE, CONNECTION, OUTPUT),
    *(TIMER, SIGNALS, MEMORY, TRACING, HIDING),
}
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
OF_OURS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP)
LOOKS, LOOK_SECONDS = 3, 0.001


def find_hazard(sources: "Iterable[str]", known: "dict[int, tuple[int, int]]") -> str:
    """Why this process must not be forked, as what the turn did ("keeps a file open"); "" if it can be.

    `known` are the sandbox's own descriptors, 1 and 2 included, with device and inode of each.
    """
    text = "\n".join(sources)
    return (
        next((why for word, why in REVEALING_WORDS.items() if word in text), "")
        or find_tracing()
        or find_threads()
        or find_descriptors(known)
        or find_signals()
        or find_shared_memory()
    )


def find_tracing() -> str:
    return TRACING if sys.gettrace() or sys.getprofile() else ""


def find_threads() -> str:
    """Threads do not survive a fork, and a copy cannot wait for child processes."""
    for _ in range(LOOKS):
        if len({*posix.listdir(TASKS)} - FORKABLE) == 1:
            break
        time.sleep(LOOK_SECONDS)  # a thread that was joined may not have ended completely
    else:
        return THREAD
    if read_proc(f"/proc/self/task/{posix.getpid()}/children").strip():
        return PROCESS
    threads = getattr(sys.modules.get("threading"), "_dangling", ())
    if any(not thread._started.is_set() for thread in list(threads)):
        return NEW_THREAD
    processes = getattr(sys.modules.get("multiprocessing.process"), "_dangling", ())
    return NEW_PROCESS if any(process._popen is None for process in list(processes)) else ""


def find_descriptors(known: "dict[int, tuple[int, int]]") -> str:
    """Copies would share file positions and the data that arrives on connections."""
    found = {}
    for entry in posix.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = posix.fstat(int(entry))
        except OSError:
            continue
    for fd, identity in known.items():
        if fd not in found or (found[fd].st_dev, found[fd].st_ino) != identity:
            return OUTPUT
    # A memory mapping keeps a descriptor of its own.
    ours = {identity for fd, identity in known.items() if stat.S_ISREG(found[fd].st_mode)}
    for fd, status in found.items():
        if fd in known or (status.st_dev, status.st_ino) in ours or is_package_data(fd):
            continue
        if stat.S_ISFIFO(status.st_mode) and (status.st_dev, status.st_ino) in known.values():
            return OUTPUT
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            return FILE
        if not stat.S_ISCHR(status.st_mode):
            return CONNECTION
    return OUTPUT if any(stream is None or stream.closed for stream in (sys.stdout, sys.stderr)) else ""


def is_package_data(fd: int) -> bool:
    """Whether a descriptor is a data file of a package, such as a font: its readers seek first."""
    try:
        return "/site-packages/" in posix.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False


def find_signals() -> str:
    if any(signal.getitimer(timer)[0] for timer in TIMERS):
        return TIMER
    if any(signal.getsignal(number) != signal.SIG_DFL for number in OF_OURS):
        return SIGNALS
    return SIGNALS if signal.pthread_sigmask(signal.SIG_BLOCK, ()) else ""


def find_shared_memory() -> str:
    lines = read_proc("/proc/self/maps").splitlines()
    shared = [line for line in lines if line[line.find(b" ") + 1 :][1:4] == b"w-s"]
    # One of them is the memory that the host reads.
    return MEMORY if len(shared) > 1 else ""


def read_proc(path: str) -> bytes:
    """Read a file in /proc, with functions that the program cannot have replaced."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        pieces = []
        while piece := posix.read(fd, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        posix.close(fd)
