"""What host and launcher agree on: the layout of the shared memory and the shape of a job."""

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
NUMBERS = 5  # status, microseconds of wall clock, user and system, KiB of memory; 8 bytes each
HELLO = b"mtchat-1"
WORTHWHILE_SECONDS = 0.015  # imports that took longer are kept as a state of their own
# Words between a state and the host, each a message of its own.
SERVING, BUSY, STEP = b"held", b"busy", b"step"
GO, KEEP = b"go", b"keep"
WHOLE, HEAD, REST = 0, 1, 2  # of a chunk: all, the imports it begins with, what follows them
# Words between pid 1 and the host: one byte, then numbers of 8 bytes.
WATCH, SPARE, DROP, SWEEP, SAVE, LOAD, FORGET = (bytes([number]) for number in range(1, 8))
READY, COPIED, SWEPT = (bytes([number]) for number in range(8, 11))
SCRATCH_BYTES = 64 << 20  # of temporary files, where they have a file system of their own
PROCESSORS = 4  # of the machine that one run may use: libraries start a few threads for each
STORE = "/run/mtchat-states"
DEEPEST_FOLDER, MOST_STATE_FILES = 40, 4000  # of the files of a state
RAISED, EXITED = "raised", "exited"
MEMORY, DISK, PROCESSES = "memory", "disk", "processes"
# What the sandbox kept from a program that failed; the host knows the same words.
POOLS, SCRATCH, GPU, OUTSIDE = "pools", "scratch", "gpu", "outside"
FILE, INPUT, ARGUMENTS, PACKAGE, NETWORK = "file", "input", "arguments", "package", "network"
DISPLAY, TERMINAL, ENVIRONMENT, COMMAND, SYSTEM = "display", "terminal", "environment", "command", "system"
GIVEN = "given"  # the subject of ARGUMENTS where there were some, but not the right ones
# What only the host can tell, by what was printed: another program failed, or a library read nothing.
CHILD_FAILED, NOTHING_READ = "child failed", "nothing read"
CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
ABOUT = 6  # fields of a report before its frames: how, limit, headline, traceback, reason, subject


class LaunchJob:
    """What the launcher has to do; a plain class, because importing `dataclasses` would take 12 ms.

    `names` and `sources` belong to the chunks; `mark` is written to both streams between them; `rlimits` are
    (resource, soft, hard); `folders` hold installed modules, `prefix` is their environment; `user` is the
    user to become, 0 for no change; a `reader` may still read all files; `arguments` follow the script in
    sys.argv; `look` asks for the variables at the end. With `checkpoints` the launcher runs no chunks itself:
    it keeps fork servers, which take each `ResumeJob`.
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
        look: bool = False,
        checkpoints: bool = False,
        reader: bool = False,
    ) -> None:
        self.names, self.sources, self.mark = names, sources, mark
        self.rlimits, self.folders, self.prefix, self.user = rlimits, folders, prefix, user
        self.arguments, self.look, self.checkpoints, self.reader = arguments, look, checkpoints, reader

    def by(self, user: int, reader: bool = False) -> "LaunchJob":
        return LaunchJob(**{**vars(self), "user": user, "reader": reader})

    def pack(self) -> bytes:
        """Eight bytes of length, then the job; only ever read by our own launcher, which trusts the host."""
        data = marshal.dumps(vars(self))
        return len(data).to_bytes(8, "little") + data

    @classmethod
    def unpack(cls, data: bytes) -> "LaunchJob":
        return cls(**marshal.loads(data))


class ResumeJob:
    """What a state is asked to go on with: the chunks from number `first` on.

    `heads` counts, for each chunk, the imports it begins with when what they make is worth keeping, else 0;
    `begun` says that those of the first one have run.
    """

    def __init__(
        self,
        first: int,
        names: list[str],
        sources: list[str],
        heads: list[int],
        begun: bool,
        mark: bytes,
        look: bool,
    ) -> None:
        self.first, self.names, self.sources, self.heads = first, names, sources, heads
        self.begun, self.mark, self.look = begun, mark, look

    def pack(self) -> bytes:
        return marshal.dumps(vars(self))

    @classmethod
    def unpack(cls, data: bytes) -> "ResumeJob":
        return cls(**marshal.loads(data))


def receive_exactly(link: _socket.socket, count: int) -> bytes:
    """That many bytes from the host; without a host there is nothing left to do."""
    got = bytearray()
    while len(got) < count:
        piece = link.recv(min(count - len(got), 1 << 20))
        if not piece:
            os._exit(0)
        got += piece
    return bytes(got)


def receive_job(link: _socket.socket) -> LaunchJob:
    """What the host wants done."""
    return LaunchJob.unpack(receive_exactly(link, int.from_bytes(receive_exactly(link, 8), "little")))


def send_result(
    link: _socket.socket, status: int, seconds: float, usage: "struct_rusage", word: bytes = b""
) -> None:
    """Tell the host how the program's process ended; NUMBERS of 8 bytes."""
    numbers = (status, seconds * 1e6, usage.ru_utime * 1e6, usage.ru_stime * 1e6, usage.ru_maxrss)
    link.sendall(word + b"".join(int(number).to_bytes(8, "little") for number in numbers))


def send_fds(link: _socket.socket, word: bytes, fds: list[int]) -> None:
    """Send descriptors to the host."""
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    link.sendmsg([word], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])


def receive_fds(link: _socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it."""
    data, extras, _, _ = link.recvmsg(size, _socket.CMSG_SPACE(4 * most), CLOSE_ON_EXEC)
    fds: list[int] = []
    for level, kind, content in extras:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(content[at : at + 4], sys.byteorder) for at in range(0, len(content), 4)]
    return data, fds
