"""What a run must leave as it was: processes, descriptors, temporary files and the memory of the host."""

import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtchat.sandbox.host.monitor import list_children
from mtchat.sandbox.host.run_dir import FOR_ALL

SET_CHILD_SUBREAPER = 36
GROWTH_MIB = 48
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Holdings:
    """What this process holds: its children, zombies too, descriptors, temporary files and folders."""

    processes: frozenset[int]
    descriptors: int
    files: frozenset[str]

    @classmethod
    def now(cls) -> "Holdings":
        temporary = frozenset(os.listdir(tempfile.gettempdir()))
        count = len(os.listdir("/proc/self/fd"))
        return cls(frozenset(list_children(os.getpid())), count, temporary | abandoned())

    def beyond(self, before: "Holdings") -> list[str]:
        """What there is now and was not before."""
        more = [described(pid) for pid in self.processes - before.processes]
        more += sorted(self.files - before.files)
        extra = self.descriptors - before.descriptors
        return more + ([f"{extra} descriptors"] if extra > 0 else [])


@contextmanager
def nothing_left() -> Iterator[None]:
    """Orphans come to us here, so whatever outlives a run becomes a child of ours and is seen."""
    before, memory = Holdings.now(), resident_mib()
    subreaper(True)
    try:
        yield
        until = time.monotonic() + PATIENCE_SECONDS
        while (left := Holdings.now().beyond(before)) and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        subreaper(False)
    assert not left
    assert resident_mib() - memory < GROWTH_MIB


def abandoned() -> frozenset[str]:
    """Folders of runs on the host's disk that no process is in; other tests may run beside these."""
    found = {str(path) for path in Path(FOR_ALL).glob("mtchat-*")}
    homes = {link for link in map(home, Path("/proc").glob("[0-9]*/cwd")) if found}
    return frozenset(path for path in found if not any(link.startswith(path) for link in homes))


def home(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


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
