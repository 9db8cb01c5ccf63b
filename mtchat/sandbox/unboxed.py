"""Readies a run among the host's own files and processes, for the ways to contain one without namespaces."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtchat.sandbox.backend import Box, Command
from mtchat.sandbox.disk import Folders, Meter, folders
from mtchat.sandbox.interpreter import Interpreter, environment, interpreter
from mtchat.sandbox.policy.users import passing
from mtchat.session.settings import PROCESSES

GUARD = "mtchat.sandbox.guest.guard"
CHILDREN = Path("/proc/thread-self/children")


@dataclass(frozen=True)
class Walls:
    """What the program's process shuts itself in with; -1 for what there is none of."""

    ruleset: int = -1
    rules: int = -1


@dataclass(frozen=True)
class Ground:
    """Where and as whom a program will run; `user` is 0 for the user that mtchat is run by."""

    user: int
    folders: Folders


@contextmanager
def ground() -> Iterator[Ground]:
    """Private folders, given to a passing user where root starts the run."""
    user = passing() if os.geteuid() == 0 else 0
    with folders(user) as made:
        yield Ground(user, made)


def command(where: Ground, box: Box, walls: Walls) -> Command:
    """The launcher, and a watch on the disk since no file system of its own limits the program."""
    python = interpreter()
    made = where.folders
    meter = Meter((made.work, made.scratch), box.limits.disk_mib << 20)
    reader = int(bool(where.user) and not for_all(python))
    more = (str(made.work), counted(where.user), where.user, reader, walls.ruleset, walls.rules)
    descriptors = tuple(each for each in (walls.ruleset, walls.rules) if each >= 0)
    return Command(
        python.arguments(str(made.code), box.control, box.shared, GUARD, more),
        environment(str(made.work), str(made.scratch)),
        (*descriptors, box.control, box.shared),
        where.user,
        spilled=meter.full,
    )


def for_all(python: Interpreter) -> bool:
    """Whether any user of this machine can reach and read Python, its modules and the launcher."""
    return all(bool(folder.stat().st_mode & 1) for path in python.needed for folder in path.parents) and (
        python.readable
    )


def counted(user: int) -> int:
    """The processes that a user may have: those of a run and, where it is the host's, those it has now."""
    if user:
        return PROCESSES
    return PROCESSES + threads_of(os.getuid())


def threads_of(user: int) -> int:
    """How many threads a user has now, by the links of their folders: one look at each process."""
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                status = os.stat(f"/proc/{entry.name}/task")
            except OSError:
                continue
            found += status.st_nlink - 2 if status.st_uid == user else 0
    return found
