"""The memory that is free for a model: the machine's, or what the limits of its container leave."""

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROCESS = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # version 1 writes a number near 2^63 where there is no limit
# the files of a memory cgroup, by version: its limit, its use, and the file cache in it that can be dropped
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def describe_memory(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def free_memory(process: Path = PROCESS, cgroups: Path = CGROUPS) -> float:
    """The bytes that can be used without swapping; infinite if the system does not say."""
    return min((available_memory(process / "meminfo"), *cgroup_room(process / "self" / "cgroup", cgroups)))


def available_memory(meminfo: Path) -> float:
    """The available memory of the machine in bytes; infinite if the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024.0 * int(found[1]) if found else math.inf


def cgroup_room(membership: Path, cgroups: Path) -> Iterator[float]:
    """What each limit leaves, of the cgroup that this process is in and of all those around it."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = cgroups, VERSION_2
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", VERSION_1
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for each in (inner, *inner.parents):
            yield room_in(root / each, names)


def room_in(folder: Path, names: tuple[str, str, str]) -> float:
    """The limit of a cgroup less its use, in which file cache does not count; infinite without a limit."""
    limit, used, cached = names
    try:
        most = int((folder / limit).read_text())
        taken = int((folder / used).read_text())
        found = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # "max", or no such controller here
        return math.inf
    return math.inf if most >= UNLIMITED else max(most - taken + (int(found[1]) if found else 0), 0)
