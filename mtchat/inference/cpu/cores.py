"""How many threads compute: one for each core that this process may use, whatever threads a core has."""

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "OMP_NUM_THREADS"  # what other libraries go by too
TOPOLOGY = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def threads(
    environment: Mapping[str, str] = os.environ, topology: Path = TOPOLOGY, quota: Path = QUOTA
) -> int:
    """What OMP_NUM_THREADS says, else the cores, at least one; where none are told of, the processors."""
    chosen = environment.get(VARIABLE, "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
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
