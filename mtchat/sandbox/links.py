"""Connections between host and sandbox, at whose other end a program may come to speak.

A descriptor that a program sends is never wanted, and closing it may take as long as the program likes, as a
TCP socket that lingers does. So the kernel refuses them where it can (Linux 6.16), else a thread closes them.
"""

import array
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

SO_PASSRIGHTS = 83  # on x86-64 and arm64; the socket module has no name for it yet
MOST_DESCRIPTORS = 253  # of one message; what there is no room for would be closed while we wait


@dataclass(frozen=True)
class Message:
    """What came over a connection: bytes, descriptors, and the process that sent them (0 if unknown)."""

    data: bytes
    fds: tuple[int, ...] = ()
    pid: int = 0


def ends() -> tuple[socket.socket, socket.socket]:
    """A connection to a launcher: our end, which learns from the kernel who is at the other, and theirs."""
    ours, theirs = socket.socketpair()
    if hasattr(socket, "SO_PASSCRED"):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def connection() -> tuple[socket.socket, socket.socket]:
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


def received(link: socket.socket, size: int) -> Message:
    """The next message; BlockingIOError when there is none, ConnectionError when nobody can send one."""
    room = socket.CMSG_SPACE(4 * MOST_DESCRIPTORS) + socket.CMSG_SPACE(12)
    data, extras, _, _ = link.recvmsg(size, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    fds, pid = array.array("i"), 0
    for level, kind, content in extras:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % 4])
        elif level == socket.SOL_SOCKET and kind == getattr(socket, "SCM_CREDENTIALS", None):
            pid = array.array("i", content[:4])[0]
    return Message(data, tuple(fds), pid)


def let_go(descriptors: Iterable[int]) -> None:
    """Close what a program has sent, without waiting for it."""
    closing = [lambda each=each: os.close(each) for each in descriptors]
    if closing:
        aside(closing)


def hang_up(link: socket.socket) -> None:
    """Close our end of a connection; what is still on its way in it may take its time to be closed."""
    if refuses_descriptors(link):
        link.close()
    else:
        aside([link.close])


def aside(closing: Iterable[Callable[[], object]]) -> None:
    def close() -> None:
        for each in closing:
            with suppress(OSError):
                each()

    threading.Thread(target=close, daemon=True, name="mtchat-closing").start()


def pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC)
    reading.callback(os.close, ends[0])
    writing.callback(os.close, ends[1])
    return ends


def filled(data: bytes) -> int:
    """A file without a name that holds some bytes."""
    file = os.memfd_create("mtchat-work", os.MFD_CLOEXEC)
    with open(os.dup(file), "wb") as writer:
        writer.write(data)
    return file
