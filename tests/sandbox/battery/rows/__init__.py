"""The cases, one file a group; each says what the attack is, what contains it, and how it does without."""

from tests.sandbox.battery.row import Row, Work
from tests.sandbox.battery.rows import (
    faults,
    files,
    network,
    processes,
    resources,
    secrets,
    supervisor,
    works,
)

GROUPS: dict[str, tuple[Row, ...]] = {
    "Secrets and the view of the host": secrets.ROWS,
    "Processes": processes.ROWS,
    "Network and messages between processes": network.ROWS,
    "File system": files.ROWS,
    "CPU, memory and output": resources.ROWS,
    "Faults of Python and the kernel's odd corners": faults.ROWS,
    "Attacks on what watches the run": supervisor.ROWS,
}
ROWS: tuple[Row, ...] = tuple(row for rows in GROUPS.values() for row in rows)
WORKS: tuple[Work, ...] = works.WORKS
