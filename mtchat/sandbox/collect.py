"""Takes the files that a run left, out of a folder that the program had in its hands."""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mtchat.core.given import Attached
from mtchat.core.outcome import File
from mtchat.errors import SandboxError

MAX_FILES, MAX_SEEN, MAX_DEPTH, MAX_SKIPPED = 1000, 20_000, 12, 100
COPY_BYTES = 1 << 20
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
KINDS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True)
class Harvest:
    """The files that were found, and what was left aside, with why."""

    files: tuple[File, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """Something in the work folder: an open descriptor of the folder it is in, its name and its path."""

    folder: int
    name: str
    path: str
    depth: int


class RefusedError(Exception):
    """This entry is not taken; the message says why."""


def deliver(files: tuple[Attached, ...], work: int, user: int = 0) -> None:
    """Copy files of the user's into a work folder in which nothing runs yet; SandboxError if one fails."""
    for file in files:
        try:
            with open(file.path, "rb") as source:
                copy = os.open(file.name, WRITE, 0o644, dir_fd=work)
                with open(copy, "wb") as target:
                    shutil.copyfileobj(source, target, COPY_BYTES)
                    target.flush()
                    os.utime(copy, ns=(os.fstat(source.fileno()).st_mtime_ns,) * 2)
                    if user:
                        os.fchown(copy, user, user)
        except OSError as error:
            raise SandboxError(f"cannot give the program {file.path}: {error.strerror}") from error


def unchanged(file: Attached, work: int) -> bool:
    """Whether a file of the user's is still as it was delivered."""
    try:
        given = os.stat(file.path)
        there = os.stat(file.name, dir_fd=work, follow_symlinks=False)
    except OSError:
        return False
    return (given.st_size, given.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def harvest(
    work: int, largest: int, collect: Path | None = None, given: tuple[Attached, ...] = ()
) -> Harvest:
    """List the regular files under an open folder and, when `collect` is given, copy them into it.

    Nothing here follows a link, waits for a pipe, trusts a size, or descends without end. What was `given`
    and is unchanged is left out.
    """
    files: list[File] = []
    skipped: list[str] = []
    known = {file.name for file in given if unchanged(file, work)}
    for seen, entry in enumerate(each for each in walk(work, skipped) if each.path not in known):
        if seen >= MAX_SEEN or len(files) >= MAX_FILES:
            skipped.append(f"everything after {entry.path!r}: too many files")
            break
        try:
            files.append(take(entry, largest, collect))
        except RefusedError as refusal:
            skipped.append(f"{entry.path!r}: {refusal}")
        except OSError as error:
            skipped.append(f"{entry.path!r}: {error.strerror}")
    if len(skipped) > MAX_SKIPPED:
        skipped = [*skipped[:MAX_SKIPPED], f"{len(skipped) - MAX_SKIPPED} more"]
    return Harvest(tuple(files), tuple(skipped))


def walk(folder: int, skipped: list[str], prefix: str = "", depth: int = 0) -> Iterator[Entry]:
    """Everything under a folder that is not a folder itself, in the order of names."""
    with os.scandir(folder) as found:
        names = sorted(entry.name for _, entry in zip(range(MAX_SEEN + 1), found, strict=False))
    for name in names:
        path = prefix + name
        with suppress(OSError):
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                yield Entry(folder, name, path, depth)
                continue
        if depth >= MAX_DEPTH:
            skipped.append(f"{path!r}: too deep")
            continue
        try:
            inner = os.open(name, FOLDER, dir_fd=folder)
        except OSError as error:
            skipped.append(f"{path!r}: {error.strerror}")
            continue
        try:
            yield from walk(inner, skipped, path + "/", depth + 1)
        finally:
            os.close(inner)


def take(entry: Entry, largest: int, collect: Path | None) -> File:
    """The file at an entry, copied when there is somewhere to copy it to."""
    if not entry.path.isprintable() or any("\ud800" <= sign <= "\udfff" for sign in entry.path):
        raise RefusedError("a name with characters that cannot be shown")
    source = os.open(entry.name, READ, dir_fd=entry.folder) if is_file(entry) else -1
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("not a regular file")
        if status.st_size > largest:
            raise RefusedError(f"{status.st_size} bytes are too large")
        if collect is not None:
            with target(collect, entry.path) as (folder, name):
                write(source, folder, name, largest)
        return File(entry.path, status.st_size)
    finally:
        os.close(source)


def is_file(entry: Entry) -> bool:
    kind = stat.S_IFMT(os.stat(entry.name, dir_fd=entry.folder, follow_symlinks=False).st_mode)
    if kind != stat.S_IFREG:
        raise RefusedError(KINDS.get(kind, "a device"))
    return True


@contextmanager
def target(collect: Path, path: str) -> Iterator[tuple[int, str]]:
    """The folder under `collect` that a path belongs in, made when missing and opened without links."""
    collect.mkdir(parents=True, exist_ok=True)
    *folders, name = path.split("/")
    opened = [os.open(collect, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=opened[-1])
            opened.append(os.open(folder, FOLDER, dir_fd=opened[-1]))
        yield opened[-1], name
    finally:
        for descriptor in opened:
            os.close(descriptor)


def write(source: int, folder: int, name: str, largest: int) -> None:
    """Copy an open file into a folder: whole or not at all."""
    temporary = f".{secrets.token_hex(8)}.part"
    made = os.open(temporary, WRITE, 0o644, dir_fd=folder)
    try:
        with open(made, "wb") as file:
            copied = 0
            while data := os.read(source, COPY_BYTES):
                copied += len(data)
                if copied > largest:
                    raise RefusedError("it grew while it was copied")
                file.write(data)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
