"""No sandbox at all, for those who typed --unsafe-no-sandbox; limits, an empty environment, a sweep after.

A program run so reads and writes what its user can, and reaches the network. Nothing chooses this by
itself, so it is no file of backends/. Root's programs become a passing user: the kernel does not count root's
processes, and a fork bomb would take the machine down.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from mtchat.errors import SandboxError
from mtchat.sandbox import unboxed
from mtchat.sandbox.backend import Box, Command, Variant

RANK = 99
TIER = "NO SANDBOX"
LAST_RESORT = "As a last resort, --unsafe-no-sandbox runs programs with nothing around them"
MEANING = (
    "NO SANDBOX: programs are run unchecked. They can read and change what you can, and use the network; "
    "only time, output, memory and files are limited"
)


def variants() -> tuple[Variant, ...]:
    """The one way; SandboxError where even what is left over cannot be found and ended."""
    if not unboxed.CHILDREN.exists():
        raise SandboxError("without a sandbox programs can only run on Linux with /proc; use Linux")
    return (Variant(TIER),)


@contextmanager
def prepared(variant: Variant, box: Box) -> Iterator[Command]:
    """The command of one run, with no walls."""
    with unboxed.ground() as where:
        yield unboxed.command(where, box, unboxed.Walls())


def explain(wrote: str) -> tuple[str, str]:
    """(reason, fix) from what the launcher wrote when it failed."""
    return (wrote.strip().splitlines() or ["the launcher ended without a word"])[-1][:300], "mtchat doctor"
