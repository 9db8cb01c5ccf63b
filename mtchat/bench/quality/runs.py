"""Runs as files: a line that says how the run was made, then a line for each row, so that it can go on.

A kill can come at any moment: what stands after the last line end was torn by one, and is not there.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from mtchat import files
from mtchat.bench.quality.suite import Row
from mtchat.errors import MtchatError
from mtchat.store.values import rebuild

T = TypeVar("T")

MOST = 512 * files.MIB  # of a run that is read
FIRST = b'{"run": '  # how the file of a run begins


@dataclass(frozen=True)
class Header:
    """How a run is made: each of its `tasks` is a conversation that is held `samples` times.

    `fingerprint` is the model's, `version` is of mtchat, `data_sha256` of the benchmark's file. With `ask` a
    simulated user is asked what is meant.
    """

    suite: str
    model: str
    fingerprint: str
    precision: str
    device: str
    mode: str
    policy: str
    temperature: float
    top_p: float
    samples: int
    seed: int
    version: str
    tasks: int
    data_sha256: str
    ask: bool = False


@dataclass(frozen=True)
class Recorded:
    """What the file of a run holds."""

    header: Header
    rows: tuple[Row, ...] = ()

    @property
    def missing(self) -> int:
        """How many conversations are still to be held."""
        return self.header.tasks * self.header.samples - len(self.rows)


class Writer:
    """The file of a run, open for more rows; `rows` are those that it has already."""

    def __init__(self, path: Path, header: Header) -> None:
        """Makes the file or goes on with it; MtchatError where it is of another run or cannot be written."""
        self.path = path
        try:
            if os.path.lexists(path):
                files.kept(os.stat(path).st_mode)  # a pipe would be waited for, a device has no end
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise unwritten(path, error) from None
        try:
            self.rows = self._begin(header)
        except BaseException:
            self.close()
            raise

    def append(self, row: Row) -> None:
        """Write one row down to the disk."""
        self._write(asdict(row))

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, header: Header) -> tuple[Row, ...]:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MtchatError(f"another mtchat writes to {self.path}; choose another --out") from None
        with open(self._file, "rb", closefd=False) as stream:
            data = stream.read()
        whole = whole_lines(data)
        if not whole and FIRST.startswith(data[: len(FIRST)]):
            os.ftruncate(self._file, 0)
            self._write({"run": asdict(header)})
            return ()
        recorded = parse(whole, self.path)
        if differing := differences(recorded.header, header):
            raise MtchatError(f"{self.path} is of another run ({differing}); choose another --out")
        os.ftruncate(self._file, sum(map(len, whole)))  # now that the file is known to be ours
        return recorded.rows

    def _write(self, value: object) -> None:
        """A whole line or none: what was written of one that fails is cut off again."""
        line = json.dumps(value).encode() + b"\n"
        end = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, end)
            raise unwritten(self.path, error) from None


def read(path: Path) -> Recorded:
    """The run in a file; of rows for one sample the first counts. MtchatError says what is wrong with it."""
    try:
        data = files.read(path, MOST)
    except MtchatError as error:
        raise MtchatError(f"{error}; --out names the file of a run") from None
    return parse(whole_lines(data), path)


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file up to its last line end."""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def parse(lines: Sequence[bytes], path: Path) -> Recorded:
    if not lines:
        raise MtchatError(f"{path} holds no run; its first line must say how it was made")
    header = parsed(Header, lines[0], f"{path}, line 1", "run")
    found = (parsed(Row, line, f"{path}, line {number}") for number, line in enumerate(lines[1:], start=2))
    return Recorded(header, firsts(found))


def parsed(kind: type[T], line: bytes, where: str, name: str = "") -> T:
    """What a line holds; under `name`, where it has one."""
    try:
        value = json.loads(line)
        return rebuild(kind, value[name] if name else value)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        what = kind.__name__.lower()
        raise MtchatError(f"{where}: no {what} of a run ({error}); choose another file") from None


def firsts(rows: Iterable[Row]) -> tuple[Row, ...]:
    found: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        found.setdefault((row.problem, row.input, row.sample), row)
    return tuple(found.values())


def differences(there: Header, asked: Header) -> str:
    """The fields in which two headers differ: "seed is 1 there and 2 here, ..."; "" when there are none."""
    values = [(each.name, getattr(there, each.name), getattr(asked, each.name)) for each in fields(Header)]
    return ", ".join(f"{name} is {old!r} there and {new!r} here" for name, old, new in values if old != new)


def unwritten(path: Path, error: OSError) -> MtchatError:
    return MtchatError(f"cannot write to {path} ({error.strerror}); choose another --out")
