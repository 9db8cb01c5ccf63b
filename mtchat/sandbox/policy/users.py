"""Whom a program runs as where root starts it."""

import random

# The range that systemd keeps for passing users; a run of its own user has a process count of its own.
USERS = range(61184, 65520)


def passing() -> int:
    """A user that nobody else is, for one run; the kernel counts processes against any user but root."""
    return random.choice(USERS)
