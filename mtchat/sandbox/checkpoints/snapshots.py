"""The snapshots that are alive: which one a run can resume from, and which one to evict first."""

import ast
import math
import socket
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from mtchat.sandbox.host.outcome import chunk_names
from mtchat.session.names import parse_module
from mtchat.session.program import Program
from mtchat.session.source import SourceText

IMPORTS = (ast.Import, ast.ImportFrom)
MOST_SNAPSHOTS, MOST_HAZARDS = 16, 256


@dataclass(frozen=True)
class ChunkPiece:
    """A chunk and the name it is compiled under; if not `complete`, only its leading imports."""

    name: str
    text: str
    complete: bool = True


Key = tuple[ChunkPiece, ...]


@dataclass
class Snapshot:
    """A process that holds the memory of a program after the prefix `key`, seen from the host.

    `pid` is its process ID here, `inner_pid` the one in the sandbox; `link` is its socket.
    `outputs` is the stdout of each chunk so far (the last may be partial), `error_outputs` the stderr;
    `printed` counts the bytes of both streams; `seconds` is the time since the previous snapshot; `files`
    numbers the copy of its folders, `tree` is their fingerprint; `mib` is its memory, shared pages included.
    """

    key: Key
    pid: int
    inner_pid: int
    link: socket.socket
    pidfd: int
    outputs: tuple[str, ...] = ()
    error_outputs: tuple[str, ...] = ()
    printed: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    files: int = 0
    tree: frozenset[tuple[object, ...]] = frozenset()
    last_used: int = 0
    mib: float = 0.0

    @property
    def chunks(self) -> int:
        """How many chunks have run completely."""
        return sum(piece.complete for piece in self.key)

    @property
    def only_imports(self) -> bool:
        """Whether what has run only imports; so has the empty snapshot."""
        return all(is_import_only(piece.text) for piece in self.key)


@dataclass(frozen=True)
class ResumePlan:
    """A program as keys of snapshots: its chunks, and the number and text of each one's leading imports."""

    key: Key
    heads: tuple[int, ...]
    imports: tuple[ChunkPiece | None, ...]

    def candidates(self) -> Iterable[Key]:
        """The keys of snapshots that this program can resume from, the longest first."""
        for length in range(len(self.key), -1, -1):
            head = self.imports[length] if length < len(self.key) else None
            if head is not None:
                yield (*self.key[:length], head)
            yield self.key[:length]


def make_plan(program: Program) -> ResumePlan:
    labels = chunk_names(program)
    key = tuple(ChunkPiece(name, chunk.code) for name, chunk in zip(labels, program.chunks, strict=True))
    leading = [leading_imports(piece.text) for piece in key]
    heads = [
        ChunkPiece(piece.name, text, False) if count else None
        for piece, (count, text) in zip(key, leading, strict=True)
    ]
    return ResumePlan(key, tuple(count for count, _ in leading), tuple(heads))


@lru_cache(maxsize=256)
def leading_imports(source: str) -> tuple[int, str]:
    """The number of a chunk's leading imports and their text; (0, "") if there is nothing else in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0, ""
    count = next((at for at, node in enumerate(body) if not isinstance(node, IMPORTS)), len(body))
    # If split there, the string would become the docstring of the rest.
    if count in (0, len(body)) or is_text(body[count]):
        return 0, ""
    return count, source[: SourceText(source).end(body[count - 1])]


def is_import_only(source: str) -> bool:
    """Whether all statements of a text are imports."""
    module = parse_module(source)
    return module is not None and all(isinstance(node, IMPORTS) for node in module.body)


def is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@dataclass
class SnapshotCache:
    """The snapshots that are alive. The empty one, before the first chunk, is never evicted."""

    alive: dict[Key, Snapshot] = field(default_factory=dict)
    hazards: dict[Key, str] = field(default_factory=dict)
    clock: int = 0

    def add(self, snapshot: Snapshot) -> Snapshot | None:
        """Add a snapshot; returns the one that it replaces."""
        old = self.alive.pop(snapshot.key, None)
        self.touch(snapshot)
        self.alive[snapshot.key] = snapshot
        return old

    def remember_hazards(self, hazards: dict[Key, str]) -> None:
        """Remember why no snapshot was taken; the oldest entries are dropped."""
        for key in hazards:
            self.hazards.pop(key, None)
        self.hazards.update(hazards)
        for key in list(self.hazards)[:-MOST_HAZARDS]:
            del self.hazards[key]

    def touch(self, snapshot: Snapshot) -> None:
        self.clock += 1
        snapshot.last_used = self.clock

    def longest(self, plan: ResumePlan) -> Snapshot | None:
        """The snapshot from which the least remains to be run."""
        return next((self.alive[key] for key in plan.candidates() if key in self.alive), None)

    def least_useful(self, live: Key) -> Snapshot | None:
        """The snapshot to evict: off the live path, then cheap to recreate, then least recently used."""
        rest = [snapshot for snapshot in self.alive.values() if snapshot.key and snapshot.key != live]
        return min(rest, key=lambda snapshot: eviction_key(snapshot, live), default=None)

    def find_hazard(self, plan: ResumePlan, resumed: int) -> tuple[int, str]:
        """The chunk, and what it did, that made the chunks after the snapshot run again; (0, "") if none."""
        for index in range(resumed, len(plan.key) - 1):
            if hazard := self.hazards.get(plan.key[: index + 1], ""):
                return index, hazard
        return 0, ""


def eviction_key(snapshot: Snapshot, live: Key) -> tuple[bool, int, int]:
    cost = round(math.log2(max(snapshot.seconds, 0.001)))
    return snapshot.key == live[: len(snapshot.key)], cost, snapshot.last_used
