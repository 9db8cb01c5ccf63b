"""What host and launcher agree on: the layout of the shared memory and the shape of a job."""

import marshal

SHARED_BYTES = 512 * 1024
FAULT_AT, FAULT_BYTES = 4096, 16 * 1024
REPORT_AT, REPORT_BYTES = 32 * 1024, 256 * 1024
VARIABLES_AT, VARIABLES_BYTES = 320 * 1024, 128 * 1024
NUMBERS = 5  # status, microseconds of wall clock, user and system, KiB of memory; 8 bytes each
HELLO = b"mtchat-1"
WORTHWHILE_SECONDS = 0.015  # imports that took longer are kept as a state of their own
# Words between a state and the host, each a message of its own.
HELD, BUSY, STEP = b"held", b"busy", b"step"
GO, KEEP = b"go", b"keep"
WHOLE, HEAD, REST = 0, 1, 2  # of a chunk: all, the imports it begins with, what follows them
# Words between pid 1 and the host: one byte, then numbers of 8 bytes.
WATCH, SPARE, DROP, SWEEP, SAVE, LOAD, FORGET = (bytes([number]) for number in range(1, 8))
READY, PORTED, SWEPT = (bytes([number]) for number in range(8, 11))
SCRATCH_BYTES = 64 << 20  # of temporary files, where they have a file system of their own
PROCESSORS = 4  # of the machine that one run may use: libraries start a few threads for each
STORE = "/run/mtchat-states"
DEEPEST, MOST_FILES = 40, 4000  # of the files of a state
RAISED, EXITED = "raised", "exited"
MEMORY, DISK, PROCESSES = "memory", "disk", "processes"
ABOUT = 6  # fields of a report before its frames: how, limit, headline, traceback, world, subject


class Job:
    """What the launcher has to do; a plain class, since `dataclasses` would cost 12 ms.

    `names` and `sources` are of the chunks, `mark` goes to both streams between them, `rlimits` are
    (resource, soft, hard), `folders` hold installed modules, `prefix` is the environment they belong to;
    `user` is whom to become, 0 for no one else, and a `reader` may then read all files; `arguments` follow
    the script in sys.argv; `look` asks for the variables at the end. A `warm` launcher runs no chunks of its
    own, it keeps states for `Work`.
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
        warm: bool = False,
        reader: bool = False,
    ) -> None:
        self.names, self.sources, self.mark = names, sources, mark
        self.rlimits, self.folders, self.prefix, self.user = rlimits, folders, prefix, user
        self.arguments, self.look, self.warm, self.reader = arguments, look, warm, reader

    def by(self, user: int, reader: bool = False) -> "Job":
        return Job(**{**vars(self), "user": user, "reader": reader})

    def pack(self) -> bytes:
        """Eight bytes of length, then the job; only ever read by our own launcher, which trusts the host."""
        data = marshal.dumps(vars(self))
        return len(data).to_bytes(8, "little") + data

    @classmethod
    def unpack(cls, data: bytes) -> "Job":
        return cls(**marshal.loads(data))


class Work:
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
    def unpack(cls, data: bytes) -> "Work":
        return cls(**marshal.loads(data))
