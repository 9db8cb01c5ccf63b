"""What a run must leave as it was: processes, descriptors, temporary files and the memory of the host."""

import ctypes
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from mtchat.sandbox.host.monitor import list_children
from mtchat.sandbox.host.run_dir import FOR_ALL

SET_CHILD_SUBREAPER = 36
GROWTH_MIB = 48
KINDS_OPENED = ("socket:", "anon_inode:", "/memfd:", "pipe:")
PATIENCE_SECONDS = 10.0  # only a test that fails waits for so long


def processes() -> set[str]:
    """Our children, zombies too."""
    return {f"process {pid}" for pid in list_children(os.getpid())}


def descriptors(kinds: tuple[str, ...] = ("",)) -> set[str]:
    """What we hold open, with its number: all, or what begins with one of some words."""
    found = {each: link_of(Path("/proc/self/fd", each)) for each in os.listdir("/proc/self/fd")}
    return {f"descriptor {each}: {link}" for each, link in found.items() if link and link.startswith(kinds)}


def holdings() -> set[str]:
    """All that a run could leave: children, descriptors, temporary files and folders."""
    return processes() | descriptors() | set(os.listdir(tempfile.gettempdir())) | abandoned()


@contextmanager
def nothing_new(look: Callable[[], Set[str]]) -> Iterator[None]:
    """What `look` finds afterwards was there before.

    What other tests have left may end meanwhile; and what ends by itself has a bounded time for it, as a
    process that was killed has ended before the kernel says so.
    """
    before = look()
    yield
    until = time.monotonic() + PATIENCE_SECONDS
    while (left := look() - before) and time.monotonic() < until:
        time.sleep(0.01)
    assert sorted(map(told, left)) == []


@contextmanager
def nothing_left() -> Iterator[None]:
    """Orphans come to us here, so whatever outlives a run becomes a child of ours and is seen."""
    memory = resident_mib()
    subreaper(True)
    try:
        with nothing_new(holdings):
            yield
    finally:
        subreaper(False)
    assert resident_mib() - memory < GROWTH_MIB


def abandoned() -> frozenset[str]:
    """Folders of runs on the host's disk that no process is in; other tests may run beside these."""
    found = {str(path) for path in Path(FOR_ALL).glob("mtchat-*")}
    homes = {link for link in map(link_of, Path("/proc").glob("[0-9]*/cwd")) if found}
    return frozenset(path for path in found if not any(link.startswith(path) for link in homes))


def link_of(link: Path) -> str:
    """Where a link leads; "" if it is gone."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def subreaper(on: bool) -> None:
    assert ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(on), 0, 0, 0) == 0


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def told(held: str) -> str:
    """What was found, a process with its name and state."""
    word, _, pid = held.partition(" ")
    return f"process {described(int(pid))}" if word == "process" else held


def described(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()[:60]
    except OSError:
        return str(pid)
