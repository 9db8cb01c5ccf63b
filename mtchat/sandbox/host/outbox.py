"""The folder that receives the files of runs: it follows no links and overwrites no file of the user's.

A list in the folder records what runs have left there, by size and hash. Any other file, and any file that
has changed since, is the user's and stays as it is.
"""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

LIST = ".mtchat-files"
MOST_LIST_BYTES, MOST_LEFT = 8 << 20, 10_000
TIMES = 4  # the space of all runs together, as a multiple of that of one run
COPY_BYTES = 1 << 20
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
FileRecord = tuple[int, str]  # size and SHA-256 of a file


class RefusedError(Exception):
    """This file is not copied; the message says why."""


class ClosedError(Exception):
    """No file can be copied to this folder; the message says why."""


class CopyStoppedError(Exception):
    """The user has stopped the copying."""


class Outbox:
    """Such a folder, created when the first file arrives; leaving the `with` writes its list."""

    def __init__(self, folder: Path, most_bytes: int, stopped: Callable[[], bool] = lambda: False) -> None:
        self.folder, self.most_bytes, self.stopped = folder, TIMES * most_bytes, stopped
        self.descriptor: int | None = None
        self.known: dict[str, FileRecord] = {}
        self.fresh: dict[str, FileRecord] = {}
        self.total = 0

    def __enter__(self) -> "Outbox":
        return self

    def __exit__(self, *failure: object) -> None:
        if self.descriptor is not None:
            try:
                if self.fresh:
                    listed = {**existing_records(self.descriptor, read_list(self.descriptor)), **self.fresh}
                    write_list(self.descriptor, dict(list(listed.items())[-MOST_LEFT:]))
            finally:
                os.close(self.descriptor)

    def put(self, source: int, path: str, size: int) -> None:
        """Copy an open file of at most `size` bytes to a plain relative path: completely or not at all."""
        top = self.open()
        *folders, name = path.split("/")
        if path.split("/")[0] == LIST:
            raise RefusedError("that name is reserved for mtchat")
        before = self.known.get(path, (0, ""))[0]
        if self.total - before + size > self.most_bytes or len(self.known) >= MOST_LEFT:
            most = f"{self.most_bytes >> 20} MiB in {MOST_LEFT} files"
            raise RefusedError(f"runs may leave at most {most} in {self.folder}; delete old ones")
        with open_below(top, folders) as folder:
            left = self.write_copy(source, folder, name, path, size)
        if left is not None:
            self.total += left[0] - before
            self.known[path] = self.fresh[path] = left

    def open(self) -> int:
        if self.descriptor is None:
            self.descriptor = open_folder(self.folder)
            self.known = existing_records(self.descriptor, read_list(self.descriptor))
            self.total = sum(size for size, _ in self.known.values())
        return self.descriptor

    def write_copy(self, source: int, folder: int, name: str, path: str, size: int) -> FileRecord | None:
        """Copy the file; None if the user already has an identical file there."""
        temporary = f".{secrets.token_hex(8)}.part"
        mode = 0o600 | (os.fstat(folder).st_mode & 0o044)
        made = os.open(temporary, WRITE, mode, dir_fd=folder)
        try:
            with open(made, "wb") as target:
                new = self.copy_and_hash(source, target.write, size)
            if self.is_free(folder, name, path, new):
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                return new
            return None
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)

    def copy_and_hash(self, source: int, write: Callable[[bytes], object], size: int) -> FileRecord:
        digest, copied = hashlib.sha256(), 0
        while data := os.read(source, COPY_BYTES):
            if self.stopped():
                raise CopyStoppedError
            copied += len(data)
            if copied > size:
                raise RefusedError("it grew while being copied")
            digest.update(data)
            write(data)
        return copied, digest.hexdigest()

    def is_free(self, folder: int, name: str, path: str, new: FileRecord) -> bool:
        """Whether the name is free or taken by an unchanged file of a run; False if by an identical file.

        RefusedError if it is taken by anything else.
        """
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return True
        if not stat.S_ISREG(status.st_mode):
            kind = KINDS.get(stat.S_IFMT(status.st_mode), "a device")
            raise RefusedError(f"in {self.folder} that name belongs to {kind}; move it away")
        ours = self.known.get(path)
        if status.st_size in (new[0], ours[0] if ours else -1):
            source = os.open(name, READ, dir_fd=folder)
            try:
                old = self.copy_and_hash(source, len, status.st_size)
            finally:
                os.close(source)
            if old in (ours, new):
                return old == ours
        raise RefusedError(
            f"in {self.folder} that name belongs to a file that you made or changed; move it away"
        )


def open_folder(folder: Path) -> int:
    """A descriptor of the folder, which is created if missing, accessible only to the user."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(0o700)
        if folder.is_symlink():
            raise ClosedError(f"{folder} is a symbolic link, and mtchat does not follow it; move it away")
        return os.open(folder, FOLDER)
    except OSError as error:
        raise ClosedError(f"{folder}: {error.strerror}") from None


@contextmanager
def open_below(top: int, folders: Sequence[str]) -> Iterator[int]:
    """A folder under an open one, created if missing, with the same access for others; follows no links."""
    opened = [os.dup(top)]
    mode = 0o700 | (os.fstat(top).st_mode & 0o055)
    try:
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, mode, dir_fd=opened[-1])
            opened.append(os.open(folder, FOLDER, dir_fd=opened[-1]))
        yield opened[-1]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def read_list(top: int) -> dict[str, FileRecord]:
    """The list in a folder; invalid entries are left out."""
    try:
        descriptor = os.open(LIST, READ, dir_fd=top)
    except OSError:
        return {}
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_LIST_BYTES:
            return {}
        try:
            found = json.loads(file.read(MOST_LIST_BYTES))
        except (ValueError, RecursionError):
            return {}
    return (
        {path: (each[0], each[1]) for path, each in found.items() if is_record(each)}
        if is_mapping(found)
        else {}
    )


def is_mapping(found: object) -> bool:
    return isinstance(found, dict)


def is_record(each: object) -> bool:
    return (
        isinstance(each, list)
        and len(each) == 2
        and isinstance(each[0], int)
        and each[0] >= 0
        and isinstance(each[1], str)
    )


def existing_records(top: int, listed: dict[str, FileRecord]) -> dict[str, FileRecord]:
    """The entries of a list that are still in the folder."""
    return {path: left for path, left in listed.items() if exists(top, path)}


def exists(top: int, path: str) -> bool:
    try:
        os.stat(path, dir_fd=top, follow_symlinks=False)
    except (OSError, ValueError):
        return False
    return True


def write_list(top: int, left: dict[str, FileRecord]) -> None:
    temporary = f".{secrets.token_hex(8)}.part"
    with open(os.open(temporary, WRITE, 0o600, dir_fd=top), "w", encoding="utf-8") as file:
        json.dump(left, file)
    os.replace(temporary, LIST, src_dir_fd=top, dst_dir_fd=top)
