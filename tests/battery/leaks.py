"""What a run must leave as it was: processes, descriptors, temporary files and the memory of the host."""

import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtchat.sandbox.tree import children

SET_CHILD_SUBREAPER = 36
GROWTH_MIB = 48
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Holdings:
    """What this process holds: its children, zombies too, its descriptors and its temporary files."""

    processes: frozenset[int]
    descriptors: int
    files: tuple[str, ...]

    @classmethod
    def now(cls) -> "Holdings":
        return cls(
            frozenset(children(os.getpid())),
            len(os.listdir("/proc/self/fd")),
            tuple(sorted(os.listdir(tempfile.gettempdir()))),
        )


@contextmanager
def nothing_left() -> Iterator[None]:
    """Orphans come to us here, so whatever outlives a run becomes a child of ours and is seen."""
    before, memory = Holdings.now(), resident_mib()
    subreaper(True)
    try:
        yield
        until = time.monotonic() + PATIENCE_SECONDS
        while (after := Holdings.now()) != before and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        subreaper(False)
    assert after == before, f"left: {[described(pid) for pid in after.processes - before.processes]}"
    assert resident_mib() - memory < GROWTH_MIB


def subreaper(on: bool) -> None:
    assert ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(on), 0, 0, 0) == 0


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def described(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()[:60]
    except OSError:
        return str(pid)
