"""Files that somebody named, read without waiting and without end, and files written whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mtchat.errors import MtchatError

MIB = 2**20
MOST = 64 * MIB  # of a program, a notebook or a page of text
CHUNK = 2**20
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


def regular(path: Path | str, flags: int = FLAGS) -> int:
    """A descriptor of a regular file; OSError where it is a folder, a pipe or a device. It never waits."""
    try:
        kept(os.stat(path).st_mode)  # opening some devices does something already
        opened = os.open(path, flags | FLAGS)
    except ValueError as error:  # a name that no file can have
        raise OSError(0, str(error)) from None
    try:
        kept(os.fstat(opened).st_mode)
    except OSError:
        os.close(opened)
        raise
    return opened


def kept(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(0, f"it is {KINDS.get(stat.S_IFMT(mode), 'not a regular file')}")


def read(path: Path | str, most: int = MOST) -> bytes:
    """The bytes of a regular file that somebody named; MtchatError where it is none or larger than `most`."""
    try:
        opened = regular(path)
        try:
            return content(opened, most)
        finally:
            os.close(opened)
    except OSError as error:
        raise MtchatError(f"cannot read {path}: {error.strerror}") from None


def short(path: Path) -> str:
    """A path as short as it can be said from the working folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def plain(name: str) -> bool:
    """Whether a name is a way down from a folder and nothing else: relative, and never up."""
    parts = name.split("/")
    return all(part not in ("", ".", "..") for part in parts) and "\0" not in name


def below(folder: Path, name: str) -> int:
    """A descriptor of a regular file in a folder, by a name that somebody else wrote.

    OSError where the name leads out of it, or where the folder or anything on the way is a link.
    """
    if not plain(name):
        raise OSError(0, "its name leads out of the folder")
    *folders, last = name.split("/")
    within = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    here = os.open(folder, within)
    try:
        for each in folders:
            inner = os.open(each, within, dir_fd=here)
            os.close(here)
            here = inner
        kept(os.stat(last, dir_fd=here, follow_symlinks=False).st_mode)
        opened = os.open(last, FLAGS | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)
    try:
        kept(os.fstat(opened).st_mode)
    except OSError:
        os.close(opened)
        raise
    return opened


def copy(opened: int, path: Path, force: bool = False) -> int:
    """Copy an open file to a path, whole or not at all, and say how many bytes it has.

    What is there is replaced only by `force`: a link itself, never what it leads to; else FileExistsError.
    """
    if not force:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        with beside(path) as new:
            whole = 0
            while part := os.pread(opened, CHUNK, whole):
                whole += len(part)
                while part:
                    part = part[os.write(new, part) :]
    except BaseException:
        if not force:
            with suppress(OSError):
                os.unlink(path)
        raise
    return whole


def content(opened: int, most: int) -> bytes:
    """What an open file holds from its beginning; OSError past so many bytes, whatever its size says."""
    size = os.fstat(opened).st_size
    parts, whole = [], 0
    while size <= most and (part := os.pread(opened, CHUNK, whole)):
        parts.append(part)
        whole += len(part)
        size = max(size, whole)
    if size > most:
        raise OSError(0, f"it has {size / MIB:.0f} MiB, but at most {most / MIB:.0f} MiB are read")
    return b"".join(parts)


def replace(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put a file in the place of one that keeps its mode, atomically; `mode` is that of a new one."""
    with beside(path, mode) as new:
        done = 0
        while done < len(data):
            done += os.write(new, data[done:])


@contextmanager
def beside(path: Path, mode: int | None = None) -> Iterator[int]:
    """A descriptor of a new file that takes the place of another, or of nothing, when all went well.

    It has the mode of the one it replaces, else `mode`, else what the user's umask leaves of 0666.
    """
    with suppress(OSError):
        mode = stat.S_IMODE(os.lstat(path).st_mode) if not path.is_symlink() else mode
    temporary = path.with_name(
        f".{secrets.token_hex(8)}.new"
    )  # short: the name may be of the greatest length
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    new = os.open(temporary, flags, 0o666 if mode is None else mode & 0o700)
    try:
        try:
            if mode is not None:
                os.fchmod(new, mode)
            yield new
        finally:
            os.close(new)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`: the file is the user's alone, and a link that somebody else left is refused."""
    return os.open(path, flags | os.O_NOFOLLOW, PRIVATE)
