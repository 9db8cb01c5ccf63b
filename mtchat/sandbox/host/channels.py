"""Channels between host and sandbox: sockets, pipes, and the program's stdin.

A program may get hold of the far end of a socket. Descriptors that it sends are never wanted, and closing
one can block, as with a lingering TCP socket. So the kernel refuses them if it can (Linux 6.16), otherwise a
thread closes them.

A program never gets the user's file as stdin: with a descriptor it could reopen the file for writing through
/proc/self/fd/0, or change its mode. It gets a sealed copy in memory or, for a long file or a stream, a pipe.
"""

import array
import os
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from mtchat.errors import SandboxError

OWN = Path("/dev/stdin")
READ = os.O_RDONLY | os.O_CLOEXEC
COPIED_BYTES = 64 << 20
PIECE_BYTES = 1 << 16


@contextmanager
def open_stdin(path: PurePath | None, most_copied: int = COPIED_BYTES) -> Iterator[int]:
    """A descriptor for the program's stdin; SandboxError if the file cannot be opened."""
    source = open_source(path)
    try:
        if path is None:
            yield source
        elif is_short(os.fstat(source), most_copied):
            copy = seal_copy(source, most_copied)
            try:
                yield copy
            finally:
                os.close(copy)
        else:
            with open_pipe_from(os.dup(source)) as end:
                yield end
    finally:
        os.close(source)


def open_source(path: PurePath | None) -> int:
    """Open the user's file from its beginning; our own stdin is duplicated if it is a pipe."""
    try:
        if path == OWN and stat.S_ISFIFO(os.fstat(0).st_mode):
            return os.dup(0)
        return os.open(path or os.devnull, READ)
    except OSError as error:
        raise SandboxError(f"cannot read {path}: {error.strerror}") from error


def is_short(status: os.stat_result, most: int) -> bool:
    """Whether a file is short enough to be copied, if the system has files in memory."""
    return stat.S_ISREG(status.st_mode) and status.st_size <= most and hasattr(os, "memfd_create")


def seal_copy(source: int, most: int) -> int:
    """A copy of an open file in memory that nobody can change any more."""
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
        raise SandboxError(f"cannot read the program's input: {error.strerror}") from error
    return copy


@contextmanager
def open_pipe_from(source: int) -> Iterator[int]:
    """The reading end of a pipe, into which a thread copies a source as it arrives."""
    end, into = os.pipe()
    threading.Thread(target=copy_stream, args=(source, into), daemon=True, name="mtchat-keyboard").start()
    try:
        yield end
    finally:
        os.close(end)


def copy_stream(source: int, into: int) -> None:
    """Copy until the input ends or nobody reads it any more."""
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    waiting.register(into, 0)  # only to learn that its other end was closed
    try:
        while into not in [ready for ready, _ in waiting.poll()]:
            piece = os.read(source, PIECE_BYTES)
            if not piece:
                break
            write_all(into, piece)
    except OSError:
        return  # nobody reads any more, or the source failed: either way the input ends here
    finally:
        os.close(source)
        os.close(into)


def write_all(into: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(into, piece) :]


SO_PASSRIGHTS = 83  # on x86-64 and arm64; the socket module has no name for it yet
MOST_DESCRIPTORS = 253  # in one message; the kernel would close any more while we wait


@dataclass(frozen=True)
class LinkMessage:
    """What arrived on a socket: bytes, descriptors, and the process that sent them (0 if unknown)."""

    data: bytes
    fds: tuple[int, ...] = ()
    pid: int = 0


def launcher_link() -> tuple[socket.socket, socket.socket]:
    """A socket pair to a launcher: our end, on which the kernel names the sender, and theirs."""
    ours, theirs = socket.socketpair()
    if hasattr(socket, "SO_PASSCRED"):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def server_link() -> tuple[socket.socket, socket.socket]:
    """A socket pair to a fork server that keeps messages apart; our end refuses descriptors."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    refuse_descriptors(ours)
    return ours, theirs


def refuse_descriptors(link: socket.socket) -> None:
    """Make the kernel refuse descriptors that are sent to this end, if it can."""
    if sys.platform == "linux":
        with suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)


def refuses_descriptors(link: socket.socket) -> bool:
    try:
        return sys.platform == "linux" and link.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 0
    except OSError:
        return False


def receive(link: socket.socket, size: int) -> LinkMessage:
    """The next message; BlockingIOError if there is none yet, ConnectionError if the other end is closed."""
    room = socket.CMSG_SPACE(4 * MOST_DESCRIPTORS) + socket.CMSG_SPACE(12)
    data, extras, _, _ = link.recvmsg(size, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    fds, pid = array.array("i"), 0
    for level, kind, content in extras:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % 4])
        elif level == socket.SOL_SOCKET and kind == getattr(socket, "SCM_CREDENTIALS", None):
            pid = array.array("i", content[:4])[0]
    return LinkMessage(data, tuple(fds), pid)


def close_later(descriptors: Iterable[int]) -> None:
    """Close descriptors that a program has sent, without waiting."""
    closing = [lambda each=each: os.close(each) for each in descriptors]
    if closing:
        run_in_background(closing)


def close_link(link: socket.socket) -> None:
    """Close our end of a socket, without waiting for descriptors that are still in it."""
    if refuses_descriptors(link):
        link.close()
    else:
        run_in_background([link.close])


def run_in_background(closing: Iterable[Callable[[], object]]) -> None:
    def close() -> None:
        for each in closing:
            with suppress(OSError):
                each()

    threading.Thread(target=close, daemon=True, name="mtchat-closing").start()


def open_pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC)
    reading.callback(os.close, ends[0])
    writing.callback(os.close, ends[1])
    return ends


def memory_file(data: bytes) -> int:
    """An anonymous file in memory that holds some bytes."""
    file = os.memfd_create("mtchat-work", os.MFD_CLOEXEC)
    with open(os.dup(file), "wb") as writer:
        writer.write(data)
    return file
