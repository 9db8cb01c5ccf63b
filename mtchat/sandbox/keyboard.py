"""What a program reads in place of a keyboard: the content of the user's file, never the file itself.

A descriptor allows more than reading: /proc/self/fd/0 opens the same file again, also for writing, and fchmod
changes its mode. So the program gets a sealed copy in memory or, of what is long or comes late, a pipe.
"""

import os
import select
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from mtchat.errors import SandboxError

OWN = Path("/dev/stdin")
READ = os.O_RDONLY | os.O_CLOEXEC
COPIED_BYTES = 64 << 20
PIECE_BYTES = 1 << 16


@contextmanager
def keyboard(path: PurePath | None, most_copied: int = COPIED_BYTES) -> Iterator[int]:
    """A descriptor to start the program with; SandboxError where what it is to read cannot be opened."""
    source = opened(path)
    try:
        if path is None:
            yield source
        elif is_short(os.fstat(source), most_copied):
            copy = sealed(source, most_copied)
            try:
                yield copy
            finally:
                os.close(copy)
        else:
            with piped(os.dup(source)) as end:
                yield end
    finally:
        os.close(source)


def opened(path: PurePath | None) -> int:
    """The user's file, from its beginning; a pipe that is our own input cannot be opened a second time."""
    try:
        if path == OWN and stat.S_ISFIFO(os.fstat(0).st_mode):
            return os.dup(0)
        return os.open(path or os.devnull, READ)
    except OSError as error:
        raise SandboxError(f"{path} cannot be read: {error.strerror}") from error


def is_short(status: os.stat_result, most: int) -> bool:
    """Whether something can be copied at once, where the system has files in memory at all."""
    return stat.S_ISREG(status.st_mode) and status.st_size <= most and hasattr(os, "memfd_create")


def sealed(source: int, most: int) -> int:
    """A copy of an open file that nobody can change any more."""
    import fcntl

    copy = os.memfd_create("keyboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = most
        while left and (piece := os.read(source, min(left, PIECE_BYTES))):
            left -= len(piece)
            write_all(copy, piece)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
        os.lseek(copy, 0, os.SEEK_SET)
    except OSError as error:
        os.close(copy)
        raise SandboxError(f"the program's input cannot be read: {error.strerror}") from error
    return copy


@contextmanager
def piped(source: int) -> Iterator[int]:
    """The reading end of a pipe into which a thread writes what it reads, as it comes."""
    end, into = os.pipe()
    threading.Thread(target=feed, args=(source, into), daemon=True, name="mtchat-keyboard").start()
    try:
        yield end
    finally:
        os.close(end)


def feed(source: int, into: int) -> None:
    """Copy until the input ends or nobody reads any more."""
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    waiting.register(into, 0)  # tells only that its other end was closed
    try:
        while into not in [ready for ready, _ in waiting.poll()]:
            piece = os.read(source, PIECE_BYTES)
            if not piece:
                break
            write_all(into, piece)
    except OSError:
        return  # nobody reads any more, or there is nothing to read; both are the end of the input
    finally:
        os.close(source)
        os.close(into)


def write_all(into: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(into, piece) :]
