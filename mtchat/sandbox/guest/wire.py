"""The protocol between host and guest: layout of the shared memory, messages, and the shape of a job."""

import _socket
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource import struct_rusage

SHARED_BYTES = 512 * 1024
FAULT_AT, FAULT_BYTES = 4096, 16 * 1024
REPORT_AT, REPORT_BYTES = 32 * 1024, 256 * 1024
VARIABLES_AT, VARIABLES_BYTES = 320 * 1024, 128 * 1024
STATE_AT, STATE_BYTES = 452 * 1024, 48 * 1024
NUMBERS = 5  # status, microseconds of wall clock, user and system, KiB of memory; 8 bytes each
HELLO = b"mtchat-1"
SLOW_IMPORT_SECONDS = 0.015  # leading imports that took longer get a snapshot of their own
# Messages between a fork server or its run and the host.
SERVING, BUSY, STEP = b"held", b"busy", b"step"
GO, KEEP = b"go", b"keep"
WHOLE, HEAD, REST = 0, 1, 2  # parts of a chunk: all of it, its leading imports, the rest
# Messages between pid 1 and the host: one byte, then numbers of 8 bytes.
WATCH, KEEP_PROCESS, DROP, SWEEP, SAVE, LOAD, FORGET = (bytes([number]) for number in range(1, 8))
READY, COPIED, SWEPT = (bytes([number]) for number in range(8, 11))
SCRATCH_BYTES = 64 << 20  # for temporary files, if they have a file system of their own
PROCESSORS = 4  # per run: libraries start threads for each processor they see
STORE = "/run/mtchat-states"
DEEPEST_FOLDER, MOST_STATE_FILES = 40, 4000  # of the files of a checkpoint
RAISED, EXITED = "raised", "exited"
MEMORY, DISK, PROCESSES = "memory", "disk", "processes"
# What the sandbox lacks that a program asked for; the values of Reason on the host.
POOLS, SCRATCH, GPU, OUTSIDE = "pools", "scratch", "gpu", "outside"
FILE, INPUT, ARGUMENTS, PACKAGE, NETWORK = "file", "input", "arguments", "package", "network"
DISPLAY, TERMINAL, ENVIRONMENT, COMMAND, SYSTEM = "display", "terminal", "environment", "command", "system"
GIVEN = "given"  # the subject of ARGUMENTS if there were some, but not the right ones
# Clues that the host resolves by stderr: another program failed, or a library returned nothing.
CHILD_FAILED, NOTHING_READ = "child failed", "nothing read"
CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
HEADER_FIELDS = 6  # fields of a report before its frames: how, limit, headline, traceback, reason, subject


class LaunchJob:
    """What the launcher has to do; a plain class, because importing `dataclasses` would take 12 ms.

    `names` and `sources` belong to the chunks; `mark` is written to both streams between them; `rlimits` are
    (resource, soft, hard); `folders` hold installed modules, `prefix` is their environment; `user` is the
    user to become, 0 for no change; a `reader` may still read all files; `arguments` follow the script in
    sys.argv; `with_variables` asks for the variables at the end, `with_state` for a line on each of them.
    With `checkpoints` the launcher runs no chunks itself: it keeps fork servers, which take each `ResumeJob`.
    """

    def __init__(
        self,
        names: list[str],
        sources: list[str],
        mark: bytes,
        rlimits: list[tuple[int, int, int]],
        folders: list[str],
        prefix: str,
        user: int = 0,
        arguments: tuple[str, ...] = (),
        with_variables: bool = False,
        with_state: bool = False,
        checkpoints: bool = False,
        reader: bool = False,
    ) -> None:
        self.names, self.sources, self.mark = names, sources, mark
        self.rlimits, self.folders, self.prefix, self.user = rlimits, folders, prefix, user
        self.arguments, self.checkpoints, self.reader = arguments, checkpoints, reader
        self.with_variables, self.with_state = with_variables, with_state

    def for_user(self, user: int, reader: bool = False) -> "LaunchJob":
        return LaunchJob(**{**vars(self), "user": user, "reader": reader})

    def pack(self) -> bytes:
        """Eight bytes of length, then the job; only the launcher reads it, and it trusts the host."""
        data = marshal.dumps(vars(self))
        return len(data).to_bytes(8, "little") + data

    @classmethod
    def unpack(cls, data: bytes) -> "LaunchJob":
        return cls(**marshal.loads(data))


class ResumeJob:
    """What a fork server is to resume with: the chunks from number `first` on.

    `heads` has the number of leading imports of each chunk, 0 if no snapshot is wanted after them; `begun`
    says that those of the first chunk have run.
    """

    def __init__(
        self,
        first: int,
        names: list[str],
        sources: list[str],
        heads: list[int],
        begun: bool,
        mark: bytes,
        with_variables: bool,
        with_state: bool,
    ) -> None:
        self.first, self.names, self.sources, self.heads = first, names, sources, heads
        self.begun, self.mark = begun, mark
        self.with_variables, self.with_state = with_variables, with_state

    def pack(self) -> bytes:
        return marshal.dumps(vars(self))

    @classmethod
    def unpack(cls, data: bytes) -> "ResumeJob":
        return cls(**marshal.loads(data))


def receive_exactly(link: _socket.socket, count: int) -> bytes:
    """That many bytes from the host; if the host is gone, the process ends."""
    got = bytearray()
    while len(got) < count:
        piece = link.recv(min(count - len(got), 1 << 20))
        if not piece:
            os._exit(0)
        got += piece
    return bytes(got)


def receive_job(link: _socket.socket) -> LaunchJob:
    """The job from the host."""
    return LaunchJob.unpack(receive_exactly(link, int.from_bytes(receive_exactly(link, 8), "little")))


def send_result(
    link: _socket.socket, status: int, seconds: float, usage: "struct_rusage", word: bytes = b""
) -> None:
    """Report how the program's process ended, as NUMBERS of 8 bytes."""
    numbers = (status, seconds * 1e6, usage.ru_utime * 1e6, usage.ru_stime * 1e6, usage.ru_maxrss)
    link.sendall(word + b"".join(int(number).to_bytes(8, "little") for number in numbers))


def send_fds(link: _socket.socket, word: bytes, fds: list[int]) -> None:
    """Send descriptors to the host."""
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    link.sendmsg([word], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])


def receive_fds(link: _socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """One message and its descriptors."""
    data, extras, _, _ = link.recvmsg(size, _socket.CMSG_SPACE(4 * most), CLOSE_ON_EXEC)
    fds: list[int] = []
    for level, kind, content in extras:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(content[at : at + 4], sys.byteorder) for at in range(0, len(content), 4)]
    return data, fds
