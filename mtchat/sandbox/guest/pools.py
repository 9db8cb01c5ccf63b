"""Threads that do not keep a state from being forked: Arrow stops and restarts its own around a fork."""

import posix
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TASKS = "/proc/self/task"
FORKABLE: set[str] = set()  # the numbers of such threads


def noting(read: "Callable[..., Any]") -> "Callable[..., Any]":
    """The same function; threads that are there only after the first call of it are Arrow's."""

    def read_and_note(*arguments: "Any", **options: "Any") -> "Any":
        before = threads()
        try:
            return read(*arguments, **options)
        finally:
            FORKABLE.update(threads() - before)

    vars(read_and_note).update(__wrapped__=read, __name__=read.__name__, __doc__=read.__doc__)
    return read_and_note


def threads() -> set[str]:
    try:
        return {*posix.listdir(TASKS)}
    except OSError:
        return set()


def note_tables(parquet: ModuleType) -> None:
    vars(parquet).update(read_table=noting(parquet.read_table))
    for name in ("__init__", "read"):
        setattr(parquet.ParquetFile, name, noting(getattr(parquet.ParquetFile, name)))


def note_csv(csv: ModuleType) -> None:
    vars(csv).update(read_csv=noting(csv.read_csv))


TOUCHES: "dict[str, Callable[[ModuleType], None]]" = {
    "pyarrow.parquet.core": note_tables,
    "pyarrow.csv": note_csv,
}
