"""A run as a file of JSON lines: a header that says how it is made, then a line per sample; it can resume.

The process may be killed at any moment: a line without its line end was cut off, and is ignored.
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
from mtchat.bench.quality.suite import ScoredSample
from mtchat.errors import MtchatError
from mtchat.store.values import rebuild

T = TypeVar("T")

MOST = 512 * files.MIB  # the largest file that is read
HEADER_START = b'{"run": '  # the begin of every results file


@dataclass(frozen=True)
class RunHeader:
    """How a run is made: `tasks` conversations, `samples` times each.

    `fingerprint` is the model's, `version` is mtchat's, `data_sha256` the hash of the tasks. With `ask` a
    simulated user answers questions about ambiguous instructions. With `understanding` an instruction can be
    a change of an earlier turn, else each is a next step. `variation` has the settings that differ from those
    of the command, as they were written. `dataset` is the name of the data, for people.
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
    understanding: bool = False
    variation: str = ""
    dataset: str = ""

    @property
    def set_name(self) -> str:
        """The name of the data; that of the suite in files that do not say it."""
        return self.dataset or self.suite


@dataclass(frozen=True)
class RecordedRun:
    """The header and the samples in the file of a run."""

    header: RunHeader
    rows: tuple[ScoredSample, ...] = ()

    @property
    def missing(self) -> int:
        """How many conversations have not been run."""
        return self.header.tasks * self.header.samples - len(self.rows)


class RunFile:
    """The file of a run, open to append; `rows` are the samples it already holds."""

    def __init__(self, path: Path, header: RunHeader) -> None:
        """Create or resume the file; MtchatError if it belongs to another run or cannot be written."""
        self.path = path
        try:
            if os.path.lexists(path):
                files.kept(os.stat(path).st_mode)  # a pipe would block, a device never ends
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise write_error(path, error) from None
        try:
            self.rows = self._begin(header)
        except BaseException:
            self.close()
            raise

    def append(self, row: ScoredSample) -> None:
        """Append a row and sync it to the disk."""
        self._write(asdict(row))

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> "RunFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, header: RunHeader) -> tuple[ScoredSample, ...]:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MtchatError(f"another mtchat is writing to {self.path}; choose another --out") from None
        with open(self._file, "rb", closefd=False) as stream:
            data = stream.read()
        whole = whole_lines(data)
        if not whole and HEADER_START.startswith(data[: len(HEADER_START)]):
            os.ftruncate(self._file, 0)
            self._write({"run": asdict(header)})
            return ()
        recorded = parse(whole, self.path)
        if differing := differences(recorded.header, header):
            raise MtchatError(f"{self.path} belongs to another run ({differing}); choose another --out")
        os.ftruncate(self._file, sum(map(len, whole)))  # only now is the file known to be ours
        return recorded.rows

    def _write(self, value: object) -> None:
        """Write a whole line or nothing: if writing fails, the partial line is cut off."""
        line = json.dumps(value).encode() + b"\n"
        end = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, end)
            raise write_error(self.path, error) from None


def read(path: Path) -> RecordedRun:
    """The run in a file; if a sample occurs twice, the first counts. MtchatError says what is wrong."""
    try:
        data = files.read(path, MOST)
    except MtchatError as error:
        raise MtchatError(f"{error}; give a results file written by --out") from None
    return parse(whole_lines(data), path)


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file up to its last line end."""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def parse(lines: Sequence[bytes], path: Path) -> RecordedRun:
    if not lines:
        raise MtchatError(f"{path} is not a results file: its header line is missing")
    header = parse_line(RunHeader, lines[0], f"{path}, line 1", "run")
    found = (
        parse_line(ScoredSample, line, f"{path}, line {number}")
        for number, line in enumerate(lines[1:], start=2)
    )
    return RecordedRun(header, drop_duplicates(found))


def parse_line(kind: type[T], line: bytes, where: str, name: str = "") -> T:
    """The value of a line, or of its field `name`."""
    try:
        value = json.loads(line)
        return rebuild(kind, value[name] if name else value)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        what = "run header" if kind is RunHeader else "sample"
        raise MtchatError(f"{where}: not a valid {what} ({error}); choose another file") from None


def drop_duplicates(rows: Iterable[ScoredSample]) -> tuple[ScoredSample, ...]:
    found: dict[tuple[str, int, int], ScoredSample] = {}
    for row in rows:
        found.setdefault((row.problem, row.input, row.sample), row)
    return tuple(found.values())


def differences(there: RunHeader, asked: RunHeader) -> str:
    """The fields in which two headers differ: "seed is 1 there and 2 here, ..."; "" if none do."""
    names = [each.name for each in fields(RunHeader) if each.name != "dataset"]  # its hash is compared
    values = [(name, getattr(there, name), getattr(asked, name)) for name in names]
    return ", ".join(f"{name} is {old!r} there and {new!r} here" for name, old, new in values if old != new)


def write_error(path: Path, error: OSError) -> MtchatError:
    return MtchatError(f"cannot write to {path} ({error.strerror}); choose another --out")
