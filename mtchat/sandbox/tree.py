"""Measures the processes of a run from outside: how many there are and the memory they hold together."""

from collections.abc import Collection, Set
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Load:
    """What a process tree holds now."""

    processes: int = 0
    memory_mib: float = 0.0


def load(root: int, cap_mib: float, limit: int, without: Set[int] = frozenset()) -> Load:
    """The load of a process and its descendants, which are not measured when more than `limit`.

    Those in `without` do not count.

    Pages that forked processes share are counted once for each, so near the cap their proportional share
    is read instead, which costs more.
    """
    pids = [pid for pid in descendants(root, limit + len(without)) if pid not in without]
    if len(pids) > limit:
        return Load(len(pids))
    return Load(len(pids), memory(pids, cap_mib))


def memory(pids: Collection[int], cap_mib: float) -> float:
    """The MiB that some processes hold together."""
    total = sum(field_kib(pid, "status", ("RssAnon:", "RssShmem:")) for pid in pids) / 1024
    if total > cap_mib:
        total = sum(field_kib(pid, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) for pid in pids) / 1024
    return total


def descendants(root: int, limit: int) -> list[int]:
    found = [root]
    for pid in found:
        if len(found) > limit:
            break
        found += children(pid)
    return found


def children(pid: int) -> list[int]:
    """The children of every thread of a process; none once it is gone."""
    try:
        lists = [(task / "children").read_text() for task in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def inner(pid: int) -> int:
    """The number that a process has in its own namespace; 0 once it is gone."""
    return numbers_in(pid, "NSpid:")[-1]


def numbers_in(pid: int, name: str) -> list[int]:
    try:
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return [0]
    return next(([int(word) for word in line.split()[1:]] for line in lines if line.startswith(name)), [0])


def field_kib(pid: int, file: str, names: tuple[str, ...]) -> int:
    """The sum of some fields of a file in /proc; 0 for a process that is gone or closed to us."""
    try:
        lines = (PROC / str(pid) / file).read_text(errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(names))
