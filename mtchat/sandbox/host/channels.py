"""What a program reads in place of a keyboard: the content of the user's file, never the file itself.

A descriptor allows more than reading: /proc/self/fd/0 opens the same file again, also for writing, and fchmod
changes its mode. So the program gets a sealed copy in memory or, of what is long or comes late, a pipe.
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
    """A descriptor to start the program with; SandboxError where what it is to read cannot be opened."""
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
            with pipe_from(os.dup(source)) as end:
                yield end
    finally:
        os.close(source)


def open_source(path: PurePath | None) -> int:
    """The user's file, from its beginning; a pipe that is our own input cannot be opened a second time."""
    try:
        if path == OWN and stat.S_ISFIFO(os.fstat(0).st_mode):
            return os.dup(0)
        return os.open(path or os.devnull, READ)
    except OSError as error:
        raise SandboxError(f"cannot read {path}: {error.strerror}") from error


def is_short(status: os.stat_result, most: int) -> bool:
    """Whether something can be copied at once, where the system has files in memory at all."""
    return stat.S_ISREG(status.st_mode) and status.st_size <= most and hasattr(os, "memfd_create")


def seal_copy(source: int, most: int) -> int:
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
        raise SandboxError(f"cannot read the program's input: {error.strerror}") from error
    return copy


@contextmanager
def pipe_from(source: int) -> Iterator[int]:
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


SO_PASSRIGHTS = 83  # on x86-64 and arm64; the socket module has no name for it yet
MOST_DESCRIPTORS = 253  # of one message; what there is no room for would be closed while we wait


@dataclass(frozen=True)
class LinkMessage:
    """What came over a connection: bytes, descriptors, and the process that sent them (0 if unknown)."""

    data: bytes
    fds: tuple[int, ...] = ()
    pid: int = 0


def launcher_link() -> tuple[socket.socket, socket.socket]:
    """A connection to a launcher: our end, which learns from the kernel who is at the other, and theirs."""
    ours, theirs = socket.socketpair()
    if hasattr(socket, "SO_PASSCRED"):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def server_link() -> tuple[socket.socket, socket.socket]:
    """Our end and a state's end of a connection whose messages stay apart; ours takes no descriptors."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    refuse_descriptors(ours)
    return ours, theirs


def refuse_descriptors(link: socket.socket) -> None:
    """From now on whoever sends a descriptor to this end gets an error, where the kernel can."""
    if sys.platform == "linux":
        with suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)


def refuses_descriptors(link: socket.socket) -> bool:
    try:
        return sys.platform == "linux" and link.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 0
    except OSError:
        return False


def receive(link: socket.socket, size: int) -> LinkMessage:
    """The next message; BlockingIOError when there is none, ConnectionError when nobody can send one."""
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
    """Close what a program has sent, without waiting for it."""
    closing = [lambda each=each: os.close(each) for each in descriptors]
    if closing:
        run_aside(closing)


def close_link(link: socket.socket) -> None:
    """Close our end of a connection; what is still on its way in it may take its time to be closed."""
    if refuses_descriptors(link):
        link.close()
    else:
        run_aside([link.close])


def run_aside(closing: Iterable[Callable[[], object]]) -> None:
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
    """A file without a name that holds some bytes."""
    file = os.memfd_create("mtchat-work", os.MFD_CLOEXEC)
    with open(os.dup(file), "wb") as writer:
        writer.write(data)
    return file
