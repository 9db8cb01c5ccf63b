"""The folders of a run on the host's own disk: made private, their size watched, removed to the last name."""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

from mtchat.sandbox.interpreter import INSIDE

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LOOK_SECONDS = 0.25
MOST_ENTRIES = 20_000
BLOCK_BYTES = 512
ABANDONED_SECONDS = 24 * 3600.0
# A folder that every user may pass through; root's own TMPDIR need not be.
FOR_ALL = "/tmp"


@dataclass(frozen=True)
class Folders:
    """`work` and `scratch` are the program's, `code` is where the launcher is imported from."""

    work: Path
    scratch: Path
    code: Path


@contextmanager
def folders(user: int) -> Iterator[Folders]:
    """Private folders of a run, given to `user` unless that is 0, and gone afterwards."""
    place = FOR_ALL if user else tempfile.gettempdir()
    clear_up(place)
    top = Path(tempfile.mkdtemp(prefix=f"mtchat-{os.getpid()}-", dir=place))
    try:
        made = Folders(top / "work", top / "tmp", top / "code")
        for folder in (made.work, made.scratch):
            folder.mkdir(0o700)
            if user:
                os.chown(folder, user, user)
        package = made.code / "mtchat" / "sandbox"
        package.mkdir(parents=True)
        (package / INSIDE.name).symlink_to(INSIDE)
        if user:
            top.chmod(0o711)
            for folder in (made.code, package.parent, package):
                folder.chmod(0o755)
        yield made
    finally:
        with suppress(FileNotFoundError):  # a cleaner of old files may have come first
            remove(top)


@cache
def clear_up(place: str) -> None:
    """Remove, once, what runs of ours left whose mtchat was killed; no run lasts ABANDONED_SECONDS."""
    for path in Path(place).glob("mtchat-*-*"):
        with suppress(OSError):
            status = path.lstat()
            old = time.time() - status.st_mtime > ABANDONED_SECONDS
            if old and status.st_uid == os.geteuid() and not is_alive(path.name.split("-")[1]):
                remove(path)


def is_alive(pid: str) -> bool:
    return not pid.isdecimal() or Path("/proc", pid).exists()


def remove(top: Path) -> None:
    """Remove a folder that a program, dead by now, had in its hands: any depth, any names, any modes.

    A folder within a folder is first moved to the top, so nothing here grows with the depth.
    """
    with opened(top) as folder:
        fresh = count()
        while names := os.listdir(folder):
            for name in names:
                clear(folder, name, fresh)
    os.rmdir(top)


def clear(top: int, name: str, fresh: "count[int]") -> None:
    """Remove one entry of the top folder, after moving the folders in it there."""
    if not is_folder(name, top):
        os.unlink(name, dir_fd=top)
        return
    with opened(name, top) as folder:
        for inner in os.listdir(folder):
            if is_folder(inner, folder):
                os.chmod(inner, 0o700, dir_fd=folder)
                os.rename(inner, unused(top, fresh), src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(inner, dir_fd=folder)
    os.rmdir(name, dir_fd=top)


def unused(top: int, fresh: "count[int]") -> str:
    """A name that nothing at the top has; a rename would silently replace an empty folder."""
    names = (f"moved-{number}" for number in fresh)
    return next(name for name in names if not is_there(name, top))


def is_there(name: str, within: int) -> bool:
    try:
        os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def is_folder(name: str, within: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode)


@contextmanager
def opened(name: str | Path, within: int | None = None) -> Iterator[int]:
    """A folder whatever its mode; nothing runs any more that could put a link in its place."""
    os.chmod(name, 0o700, dir_fd=within)
    descriptor = os.open(name, FOLDER, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Meter:
    """Whether a run has filled its folders: looked at now and then, a tenth of the time at most.

    A file that is open but has no name any more is not seen.
    """

    def __init__(self, roots: tuple[Path, ...], most_bytes: int, most_entries: int = MOST_ENTRIES) -> None:
        self.roots, self.most_bytes, self.most_entries = roots, most_bytes, most_entries
        self.next = 0.0

    def full(self) -> bool:
        """True once the files together are too large, or too many."""
        began = time.monotonic()
        if began < self.next:
            return False
        size, left = 0, self.most_entries
        for root in self.roots:
            found, entries = measured(root, left)
            size, left = size + found, left - entries
        now = time.monotonic()
        self.next = now + max(LOOK_SECONDS, 10 * (now - began))
        return size > self.most_bytes or left <= 0


def measured(root: Path, most: int) -> tuple[int, int]:
    """Bytes on disk and entries under a folder that may change all the while; at most so many entries.

    Two descriptors at a time are open, however deep it goes: the way back leads through "..", and the walk
    ends where that is no longer the folder it came from. A folder that a cleaner of old files took is empty.
    """
    size = entries = 0
    try:
        here = os.open(root, FOLDER)
    except FileNotFoundError:
        return 0, 0
    above: list[tuple[tuple[int, int], list[str]]] = []
    try:
        names = os.listdir(here)
        while names or above:
            if not names:
                came_from, names = above.pop()
                here = swapped(here, "..")
                if identity(os.fstat(here)) != came_from:
                    break
                continue
            name = names.pop()
            entries += 1
            if entries >= most:
                break
            status = looked_at(name, here)
            size += BLOCK_BYTES * status.st_blocks if status else 0
            if status is None or not stat.S_ISDIR(status.st_mode):
                continue
            if is_blind(status):
                return size, most
            origin = identity(os.fstat(here))
            with suppress(OSError):
                here = swapped(here, name)
                above.append((origin, names))
                names = []
                names = os.listdir(here)
    except OSError:
        return size, entries
    finally:
        os.close(here)
    return size, entries


def looked_at(name: str, here: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=here, follow_symlinks=False)
    except OSError:
        return None


def is_blind(status: os.stat_result) -> bool:
    """Whether a folder can be filled but not listed, which there is no honest use for."""
    return os.geteuid() != 0 and status.st_mode & 0o700 == 0o300


def swapped(here: int, name: str) -> int:
    """The folder of that name in place of this one, which is closed."""
    there = os.open(name, FOLDER, dir_fd=here)
    os.close(here)
    return there


def identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
