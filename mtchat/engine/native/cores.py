"""How many threads compute: one for each core that this process may use, whatever threads a core has."""

import os
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def threads(topology: Path = TOPOLOGY, quota: Path = QUOTA) -> int:
    """At least one; where the system does not tell of cores, its processors."""
    processors = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    )
    cores = {core(topology, each) for each in processors}
    return max(min(len(cores), allowed(quota)), 1)


def core(topology: Path, processor: int) -> str:
    """What the threads of one core have in common."""
    try:
        return (topology / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(processor)


def allowed(quota: Path) -> int:
    """The processors' worth of time that a container gives."""
    try:
        most, period = quota.read_text().split()
        return -(-int(most) // int(period))
    except (OSError, ValueError):
        return os.cpu_count() or 1
