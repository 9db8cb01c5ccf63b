"""Fingerprints of the folders of a program: names, kinds, sizes and times."""

import os
import stat
from collections.abc import Iterator, Set

from mtchat.sandbox.guest.wire import DEEPEST_FOLDER, MOST_STATE_FILES

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Fingerprint = frozenset[tuple[object, ...]]


class CannotCopyError(Exception):
    """The folders hold something that cannot be copied exactly; the message says what the turn did."""


def fingerprint(folders: list[int], without: list[set[str]]) -> Fingerprint:
    """What some open folders hold, except `without` in each; CannotCopyError if that is too much."""
    found: set[tuple[object, ...]] = set()
    for number, folder in enumerate(folders):
        for entry in list_entries(folder, "", 0, without[number]):
            found.add((number, *entry))
            if len(found) > MOST_STATE_FILES:
                raise CannotCopyError("leaves too many files")
    return frozenset(found)


def list_entries(
    folder: int, prefix: str, depth: int, without: Set[str] = frozenset()
) -> Iterator[tuple[object, ...]]:
    """Path and mode of everything in a folder, plus the target of links and size, times and inode of files.

    A program can set mtime, but not ctime.
    """
    if depth > DEEPEST_FOLDER:
        raise CannotCopyError("leaves folders that are too deep")
    try:
        with os.scandir(folder) as found:
            names = [entry.name for _, entry in zip(range(MOST_STATE_FILES + 1), found, strict=False)]
        for name in (name for name in names if name not in without):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            path = prefix + name
            if stat.S_ISDIR(status.st_mode):
                yield path, status.st_mode
                yield from inner_entries(folder, name, path, depth)
            elif stat.S_ISLNK(status.st_mode):
                yield path, status.st_mode, os.readlink(name, dir_fd=folder)
            else:
                yield (
                    path,
                    status.st_mode,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                    status.st_ino,
                )
    except OSError as error:
        raise CannotCopyError("leaves files that cannot be read") from error


def inner_entries(folder: int, name: str, path: str, depth: int) -> Iterator[tuple[object, ...]]:
    opened = os.open(name, FOLDER, dir_fd=folder)
    try:
        yield from list_entries(opened, path + "/", depth + 1)
    finally:
        os.close(opened)
