"""The resource limits of a run, set in the child so that they count in its own user namespace."""

import math
import os
import random
import resource

from mtchat.sandbox.guest.wire import PROCESSORS
from mtchat.session.settings import PROCESSES, Limits

MIB = 1 << 20
SPARE = 64 * MIB  # between soft and hard limit, for reporting a MemoryError
OPEN_FILES = 256


def rlimits(limits: Limits, checkpoints: int = 0) -> list[tuple[int, int, int]]:
    """(resource, soft, hard). Address space is not limited: V8, LMDB and others reserve terabytes.

    Memory that is written counts as data, or the monitor measures it. `checkpoints` is the number of
    processes that are alive besides those of the run.
    """
    data = limits.memory_mib * MIB
    cpu = math.ceil(limits.seconds * min(os.cpu_count() or 1, PROCESSORS)) + 1
    wanted = {
        "RLIMIT_DATA": (data, data + SPARE),
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_FSIZE": (limits.disk_mib * MIB,) * 2,
        "RLIMIT_STACK": (8 * MIB,) * 2,
        "RLIMIT_NPROC": (PROCESSES + checkpoints,) * 2,
        "RLIMIT_NOFILE": (OPEN_FILES,) * 2,
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
    }
    known = [(name, pair) for name, pair in wanted.items() if hasattr(resource, name)]
    return [(getattr(resource, name), *cap_limits(getattr(resource, name), *pair)) for name, pair in known]


def cap_limits(number: int, soft: int, hard: int) -> tuple[int, int]:
    """The limits, lowered to what this process is allowed to set."""
    ceiling = resource.getrlimit(number)[1]
    if ceiling == resource.RLIM_INFINITY:
        return soft, hard
    return min(soft, ceiling), min(hard, ceiling)


# The range that systemd reserves for transient users; each user has a process count of its own.
USERS = range(61184, 65520)


def transient_user() -> int:
    """A user for one run only, when root starts it; the kernel does not count the processes of root."""
    return random.choice(USERS)
