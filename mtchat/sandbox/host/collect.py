"""Copies files into and out of the work folder, which the program controls."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mtchat.errors import SandboxError
from mtchat.sandbox.host.outbox import (
    COPY_BYTES,
    FOLDER,
    KINDS,
    READ,
    WRITE,
    ClosedError,
    CopyStoppedError,
    Outbox,
    RefusedError,
)
from mtchat.session.outcome import File
from mtchat.session.program import AttachedFile

MAX_FILES, MAX_SEEN, MAX_DEPTH, MAX_SKIPPED = 1000, 20_000, 12, 100
GIVEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MAX_PATH, SHOWN_PATH = 400, 80  # characters
MAX_PATHS = 96 * 1024  # bytes of all paths together, as a session file has them


@dataclass(frozen=True)
class CollectedFiles:
    """The files that were found, and what was skipped and why; `stopped` if the user ended it early."""

    files: tuple[File, ...] = ()
    skipped: tuple[str, ...] = ()
    stopped: bool = False


@dataclass(frozen=True)
class WorkdirEntry:
    """An entry of the work folder: an open descriptor of its folder, its name and its path."""

    folder: int
    name: str
    path: str


@dataclass(frozen=True)
class ProgramFile:
    """The program's own source file in the work folder, recognised by its name and possible contents."""

    name: str
    contents: tuple[bytes, ...]

    def is_in(self, work: int) -> bool:
        """Whether it is in the folder, unchanged."""
        try:
            there = os.open(self.name, READ, dir_fd=work)
        except OSError:
            return False
        with open(there, "rb") as file:
            if not stat.S_ISREG(os.fstat(there).st_mode):
                return False
            return file.read(max(map(len, self.contents), default=0) + 1) in self.contents


def deliver_files(
    files: tuple[AttachedFile, ...], work: int, user: int = 0, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Copy the user's files into a work folder in which nothing runs yet; SandboxError if one fails.

    `stopped` is asked before each piece; if it is true, KeyboardInterrupt.
    """
    for file in files:
        try:
            with open(os.open(file.path, GIVEN), "rb") as source:
                left = size_of(source.fileno())
                with open_parent(file.name, work, user) as (folder, name):
                    copy = os.open(name, WRITE, 0o644, dir_fd=folder)
                with open(copy, "wb") as target:
                    while data := source.read(min(left, COPY_BYTES)):
                        if stopped():
                            raise KeyboardInterrupt
                        left -= target.write(data)
                    target.flush()
                    os.utime(copy, ns=(os.fstat(source.fileno()).st_mtime_ns,) * 2)
                    if user:
                        os.fchown(copy, user, user)
        except OSError as error:
            raise SandboxError(f"cannot copy {file.path} into the sandbox: {error.strerror}") from error


def size_of(descriptor: int) -> int:
    """The size of one of the user's files, which may have become a pipe or a device since it was attached."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "it is no longer a regular file")
    return status.st_size


@contextmanager
def open_parent(path: str, work: int, user: int = 0) -> Iterator[tuple[int, str]]:
    """The open parent folder of a path in the work folder, created if missing, and the last part of the path.

    The path may come from somebody else's session file, so no part of it may lead elsewhere.
    """
    *folders, name = check_relative(path).split("/")
    here = os.dup(work)
    try:
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o755, dir_fd=here)
                if user:
                    os.chown(folder, user, user, dir_fd=here, follow_symlinks=False)
            there = os.open(folder, FOLDER, dir_fd=here)
            os.close(here)
            here = there
        yield here, name
    finally:
        os.close(here)


def check_relative(path: str) -> str:
    """The path, if it stays in the work folder; otherwise OSError."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise OSError(0, f"{path!r} is not a plain relative path")
    return path


def is_unchanged(file: AttachedFile, work: int) -> bool:
    """Whether one of the user's files is still as it was delivered."""
    *folders, name = file.name.split("/")
    here = os.dup(work)
    try:
        for folder in folders:
            there = os.open(folder, FOLDER, dir_fd=here)
            os.close(here)
            here = there
        attached, now = os.stat(file.path), os.stat(name, dir_fd=here, follow_symlinks=False)
    except OSError:
        return False
    finally:
        os.close(here)
    return (attached.st_size, attached.st_mtime_ns) == (now.st_size, now.st_mtime_ns)


def collect_files(
    work: int,
    largest: int,
    collect: Path | None = None,
    attached: tuple[AttachedFile, ...] = (),
    stopped: Callable[[], bool] = lambda: False,
    own: ProgramFile | None = None,
) -> CollectedFiles:
    """List the regular files under an open folder and, if `collect` is given, copy them there.

    This never follows a link, waits for a pipe, trusts a size, descends without end, or takes more than
    `largest` bytes in total. Unchanged `attached` files and the program's `own` file are left out.
    """
    known = {file.name for file in attached if is_unchanged(file, work)}
    known |= {own.name} if own is not None and own.is_in(work) else set()
    if collect is None:
        return FileCollector(work, largest, None, known, stopped).collect()
    with Outbox(collect, largest, stopped) as outbox:
        return FileCollector(work, largest, outbox, known, stopped).collect()


class FileCollector:
    """One pass through a folder: the files found so far, and the space that is left."""

    def __init__(
        self,
        work: int,
        room: int,
        outbox: Outbox | None,
        known: set[str],
        stopped: Callable[[], bool],
    ) -> None:
        self.work, self.room, self.most, self.outbox, self.stopped = work, room, room, outbox, stopped
        self.known = known
        self.files: list[File] = []
        self.skipped: list[str] = []
        self.seen, self.paths = 0, 0

    def collect(self) -> CollectedFiles:
        """The files in the order of their names, as many as there is space for."""
        halted = False
        for entry in self.walk(self.work):
            try:
                if self.stopped():
                    raise CopyStoppedError
                if entry.path not in self.known:
                    self.files.append(self.take(entry))
            except RefusedError as refusal:
                self.skip(entry.path, str(refusal))
            except OSError as error:
                self.skip(entry.path, str(error.strerror))
            except ClosedError as error:
                self.skipped = [f"all files: {error}"]
                break
            except CopyStoppedError:
                self.skipped.append(f"everything from {shorten_path(entry.path)!r} on: stopped")
                halted = True
                break
            if self.seen >= MAX_SEEN or len(self.files) >= MAX_FILES:
                self.skipped.append(f"everything after {shorten_path(entry.path)!r}: too many files")
                break
        if len(self.skipped) > MAX_SKIPPED:
            self.skipped = [*self.skipped[:MAX_SKIPPED], f"{len(self.skipped) - MAX_SKIPPED} more"]
        return CollectedFiles(tuple(self.files), tuple(self.skipped), halted)

    def skip(self, path: str, why: str) -> None:
        self.skipped.append(f"{shorten_path(path)!r}: {why}")

    def walk(self, folder: int, prefix: str = "", depth: int = 0) -> Iterator[WorkdirEntry]:
        """Everything under a folder that is not a folder itself, in the order of names."""
        with os.scandir(folder) as found:
            names = sorted(entry.name for _, entry in zip(range(MAX_SEEN + 1), found, strict=False))
        for name in names:
            self.seen += 1
            path = prefix + name
            with suppress(OSError):
                if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    yield WorkdirEntry(folder, name, path)
                    continue
            if self.seen > MAX_SEEN or self.stopped():
                return
            if depth >= MAX_DEPTH:
                self.skip(path, "too deep")
                continue
            try:
                inner = os.open(name, FOLDER, dir_fd=folder)
            except OSError as error:
                self.skip(path, str(error.strerror))
                continue
            try:
                yield from self.walk(inner, path + "/", depth + 1)
            finally:
                os.close(inner)

    def take(self, entry: WorkdirEntry) -> File:
        """The file at an entry, copied if there is a folder to copy it to."""
        self.check_path(entry.path)
        source = os.open(entry.name, READ, dir_fd=entry.folder) if check_regular(entry) else -1
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise RefusedError("not a regular file")
            if status.st_size > self.most:
                raise RefusedError(f"{status.st_size} bytes are too large")
            if status.st_size > self.room:
                raise RefusedError(f"a run may leave at most {self.most >> 20} MiB of files")
            if self.outbox is not None:
                self.outbox.put(source, entry.path, status.st_size)
            self.room -= status.st_size
            self.paths += len(json.dumps(entry.path))
            return File(entry.path, status.st_size)
        finally:
            os.close(source)

    def check_path(self, path: str) -> None:
        if not path.isprintable() or any("\ud800" <= sign <= "\udfff" for sign in path):
            raise RefusedError("its name has unprintable characters")
        if len(path) > MAX_PATH:
            raise RefusedError(f"a path of {len(path)} characters is too long")
        if self.paths + len(json.dumps(path)) > MAX_PATHS:
            raise RefusedError("too many long paths")


def check_regular(entry: WorkdirEntry) -> bool:
    kind = stat.S_IFMT(os.stat(entry.name, dir_fd=entry.folder, follow_symlinks=False).st_mode)
    if kind != stat.S_IFREG:
        raise RefusedError(KINDS.get(kind, "a device"))
    return True


def shorten_path(path: str) -> str:
    return path if len(path) <= SHOWN_PATH else path[: SHOWN_PATH - 1] + "…"
