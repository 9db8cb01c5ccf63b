"""The kernel limits of a run, set in the child so that they count inside its own user namespace."""

import math
import os
import random
import resource

from mtchat.sandbox.guest.wire import PROCESSORS
from mtchat.session.settings import PROCESSES, Limits

MIB = 1 << 20
SPARE = 64 * MIB  # between soft and hard: room to tell of a MemoryError
OPEN_FILES = 256


def rlimits(limits: Limits, states: int = 0) -> list[tuple[int, int, int]]:
    """(resource, soft, hard). Address space has no bound: V8, LMDB and others reserve terabytes and use few.

    What is written counts as data, or is seen by who watches the memory. `states` is how many processes
    beside the run's own are alive.
    """
    data = limits.memory_mib * MIB
    cpu = math.ceil(limits.seconds * min(os.cpu_count() or 1, PROCESSORS)) + 1
    wanted = {
        "RLIMIT_DATA": (data, data + SPARE),
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_FSIZE": (limits.disk_mib * MIB,) * 2,
        "RLIMIT_STACK": (8 * MIB,) * 2,
        "RLIMIT_NPROC": (PROCESSES + states,) * 2,
        "RLIMIT_NOFILE": (OPEN_FILES,) * 2,
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
    }
    known = [(name, pair) for name, pair in wanted.items() if hasattr(resource, name)]
    return [(getattr(resource, name), *cap_limits(getattr(resource, name), *pair)) for name, pair in known]


def cap_limits(number: int, soft: int, hard: int) -> tuple[int, int]:
    """The limits, lowered to what this process may still set."""
    ceiling = resource.getrlimit(number)[1]
    if ceiling == resource.RLIM_INFINITY:
        return soft, hard
    return min(soft, ceiling), min(hard, ceiling)


# The range that systemd keeps for passing users; a run of its own user has a process count of its own.
USERS = range(61184, 65520)


def transient_user() -> int:
    """A user that nobody else is, for one run; the kernel counts processes against any user but root."""
    return random.choice(USERS)
