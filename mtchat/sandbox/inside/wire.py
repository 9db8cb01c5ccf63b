"""What host and launcher agree on: the layout of the shared memory and the shape of a job."""

import marshal

SHARED_BYTES = 512 * 1024
FAULT_AT, FAULT_BYTES = 4096, 16 * 1024
REPORT_AT, REPORT_BYTES = 32 * 1024, 256 * 1024
NUMBERS = 5  # status, microseconds of wall clock, user and system, KiB of memory; 8 bytes each
HELLO = b"mtchat-1"
RAISED, EXITED = "raised", "exited"
MEMORY, DISK = "memory", "disk"


class Job:
    """What the launcher has to do; a plain class, since `dataclasses` would cost 12 ms.

    `names` and `sources` are of the chunks, `mark` goes to stdout between them, `rlimits` are (resource,
    soft, hard), `folders` hold installed modules, `prefix` is the environment they belong to; `user` is
    whom to become, 0 for no one else.
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
    ) -> None:
        self.names, self.sources, self.mark = names, sources, mark
        self.rlimits, self.folders, self.prefix, self.user = rlimits, folders, prefix, user

    def by(self, user: int) -> "Job":
        return Job(**{**vars(self), "user": user})

    def pack(self) -> bytes:
        """Eight bytes of length, then the job; only ever read by our own launcher, which trusts the host."""
        data = marshal.dumps(vars(self))
        return len(data).to_bytes(8, "little") + data

    @classmethod
    def unpack(cls, data: bytes) -> "Job":
        return cls(**marshal.loads(data))
