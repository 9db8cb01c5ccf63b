"""Small words with the kernel and the host that the launcher needs; each import here costs every run."""

import _ctypes
import _socket
import os
import resource
import sys

from mtchat.sandbox.guest.wire import Job

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4


def prctl(option: int, value: int) -> int:
    """The system call; the `ctypes` module itself would cost 2 ms more."""
    itself = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    return int(_ctypes.call_function(_ctypes.dlsym(itself, "prctl"), (option, value, 0, 0, 0)))


def dumpable(value: int) -> None:
    """Whether /proc/PID is open to processes of the same user."""
    prctl(PR_SET_DUMPABLE, value)
    if prctl(PR_GET_DUMPABLE, 0) != value:
        os._exit(70)


def become(user: int) -> None:
    """Give up root for good: the kernel counts processes against any user but root."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def exactly(link: _socket.socket, count: int) -> bytes:
    """That many bytes from the host; without a host there is nothing left to do."""
    got = bytearray()
    while len(got) < count:
        piece = link.recv(min(count - len(got), 1 << 20))
        if not piece:
            os._exit(0)
        got += piece
    return bytes(got)


def job_of(link: _socket.socket) -> Job:
    """What the host wants done."""
    return Job.unpack(exactly(link, int.from_bytes(exactly(link, 8), "little")))


def report(
    link: _socket.socket, status: int, seconds: float, usage: resource.struct_rusage, word: bytes = b""
) -> None:
    """Tell the host how the program's process ended; NUMBERS of 8 bytes."""
    numbers = (status, seconds * 1e6, usage.ru_utime * 1e6, usage.ru_stime * 1e6, usage.ru_maxrss)
    link.sendall(word + b"".join(int(number).to_bytes(8, "little") for number in numbers))


def hand_over(link: _socket.socket, word: bytes, fds: list[int]) -> None:
    """Send descriptors to the host."""
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    link.sendmsg([word], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])


def received(link: _socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it."""
    data, extras, _, _ = link.recvmsg(size, _socket.CMSG_SPACE(4 * most), CLOSE_ON_EXEC)
    fds: list[int] = []
    for level, kind, content in extras:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(content[at : at + 4], sys.byteorder) for at in range(0, len(content), 4)]
    return data, fds


CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
