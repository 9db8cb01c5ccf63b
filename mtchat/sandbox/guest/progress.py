"""What the program's process tells the host: through shared memory, and by marks in its streams."""

import fcntl
import posix as os  # what a program makes of the names in `os` does not reach us
from mmap import mmap

from mtchat.sandbox.guest.wire import REPORT_AT, REPORT_BYTES, VARIABLES_AT, VARIABLES_BYTES

# Above what a program opens, so that its own descriptors are numbered as without us.
HIGH_FD = 240


class Progress:
    """Which chunk runs, that the last one finished, how the program failed, and its variables.

    A copy that the program forked goes through the same code; only the process that began may tell.
    """

    def __init__(self, memory: mmap, mark: bytes) -> None:
        self.memory, self.mark, self.owner = memory, mark, os.getpid()
        self.streams = [Held(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)) for fd in (1, 2)]
        self.begun = False

    @property
    def ours(self) -> bool:
        return os.getpid() == self.owner

    def begin(self, index: int) -> None:
        if not self.ours:
            return
        self.memory[0:4] = (index + 1).to_bytes(4, "little")
        if self.begun:
            self.part()
        self.begun = True

    def part(self) -> None:
        """What is printed from here on is a part of its own."""
        for stream in self.streams:
            try:
                if stream.there:
                    os.write(stream.fd, self.mark)
            except OSError:
                continue

    def finish(self) -> None:
        if self.ours:
            self.part()
            self.memory[4] = 1

    def tell(self, fields: list[str]) -> None:
        """How the program failed."""
        self.leave(fields, REPORT_AT, REPORT_BYTES)

    def show(self, fields: list[str]) -> None:
        """The variables."""
        self.leave(fields, VARIABLES_AT, VARIABLES_BYTES)

    def leave(self, fields: list[str], at: int, room: int) -> None:
        """Leave a report for the host, each field with its length."""
        encoded = [field.encode("utf-8", "backslashreplace") for field in fields]
        blob = b"".join(len(data).to_bytes(4, "little") + data for data in encoded)[:room]
        self.memory[at + 4 : at + 4 + len(blob)] = blob
        self.memory[at : at + 4] = len(blob).to_bytes(4, "little")

    def close(self) -> None:
        for stream in self.streams:
            if stream.there:
                os.close(stream.fd)


class Held:
    """A descriptor of ours; the program may close it and open a file of its own in its place."""

    def __init__(self, fd: int) -> None:
        self.fd, self.identity = fd, identity(fd)

    @property
    def there(self) -> bool:
        try:
            return identity(self.fd) == self.identity
        except OSError:
            return False


def identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
