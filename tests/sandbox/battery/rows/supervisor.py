"""Cases 113-120: attacks on what starts, watches and reads a run."""

from dataclasses import replace

from tests.sandbox.battery.hosted import (
    counted_for_root,
    forged_reports,
    from_a_thread,
    masked_proc,
    orphans_are_reaped,
    refusals_are_told_apart,
    traps_in_the_work_folder,
    two_at_once,
)
from tests.sandbox.battery.row import Row, absent, played

OURS = "it is the host's own code that is attacked"

ROWS: tuple[Row, ...] = (
    played(113, "started from a thread that ends", from_a_thread, "runs to its end", without=OURS),
    played(
        114,
        "started by root, whom no process limit counts",
        counted_for_root,
        "counted as another user",
        without=OURS,
    ),
    played(115, "orphans that nobody reaps", orphans_are_reaped, "no zombie stays", without=OURS),
    played(
        116, "a pipe or 10 GiB where a picture is expected", traps_in_the_work_folder, "skipped", without=OURS
    ),
    played(117, "a forged report", forged_reports, "the kernel's status holds", without=OURS),
    replace(
        played(118, "a container that masks /proc", masked_proc, "goes on without /proc", without=OURS),
        t2=absent("it mounts nothing"),
    ),
    played(
        119,
        "a host that refuses namespaces",
        refusals_are_told_apart,
        "reason and fix, then the next tier",
        "taken instead, with reason and fix",
        without=OURS,
    ),
    played(120, "two runs at once", two_at_once, "out of each other's reach", without=OURS),
)
