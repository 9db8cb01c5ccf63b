"""Which states of a program are alive, which of them a run can go on from, and which to give up first."""

import ast
import math
import socket
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from mtchat.sandbox.host.outcome import chunk_names
from mtchat.session.program import Program
from mtchat.session.source import Source

MOST_STATES, MOST_HAZARDS = 16, 256


@dataclass(frozen=True)
class ChunkPiece:
    """A chunk under the name it is compiled with; or, not `whole`, only the imports it begins with."""

    name: str
    text: str
    whole: bool = True


Key = tuple[ChunkPiece, ...]


@dataclass
class Snapshot:
    """A process that holds what a prefix of a program left behind.

    `outputs` is what each of its chunks printed, the last one perhaps in part,
    `complaints` is the same of stderr; `printed` counts the bytes of
    both streams; `seconds` is what it took to get here from the state before; `files` numbers the copy of its
    folders, `tree` is their signature; `mib` is the memory it holds, with the pages that it shares.
    """

    key: Key
    pid: int
    inner: int
    link: socket.socket
    handle: int
    outputs: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    printed: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    files: int = 0
    tree: frozenset[tuple[object, ...]] = frozenset()
    used: int = 0
    mib: float = 0.0

    @property
    def chunks(self) -> int:
        """How many chunks have run whole."""
        return sum(piece.whole for piece in self.key)


@dataclass(frozen=True)
class ResumePlan:
    """A program as pieces: `key` of whole chunks, and for each how many imports it begins with, and which."""

    key: Key
    heads: tuple[int, ...]
    imports: tuple[ChunkPiece | None, ...]

    def candidates(self) -> Iterable[Key]:
        """What a state may have run for this program to go on from it, the most first."""
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
    """How many imports a chunk begins with and their text; (0, "") where nothing else follows them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0, ""
    count = next(
        (at for at, node in enumerate(body) if not isinstance(node, ast.Import | ast.ImportFrom)), len(body)
    )
    # Cut off there, a string would become the docstring of what follows.
    if count in (0, len(body)) or is_text(body[count]):
        return 0, ""
    return count, (place := Source(source)).text(0, place.end(body[count - 1]))


def is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@dataclass
class SnapshotCache:
    """The states that are alive. The one before the first chunk is never given up."""

    alive: dict[Key, Snapshot] = field(default_factory=dict)
    hazards: dict[Key, str] = field(default_factory=dict)
    clock: int = 0

    def add(self, state: Snapshot) -> Snapshot | None:
        """Keep a state; returns the one it takes the place of."""
        old = self.alive.pop(state.key, None)
        self.use(state)
        self.alive[state.key] = state
        return old

    def remember(self, hazards: dict[Key, str]) -> None:
        """Why programs could not be kept; the oldest are forgotten, since a worker may live for long."""
        for key in hazards:
            self.hazards.pop(key, None)
        self.hazards.update(hazards)
        for key in list(self.hazards)[:-MOST_HAZARDS]:
            del self.hazards[key]

    def use(self, state: Snapshot) -> None:
        self.clock += 1
        state.used = self.clock

    def longest(self, wanted: ResumePlan) -> Snapshot | None:
        """The state from which least is left to run."""
        return next((self.alive[key] for key in wanted.candidates() if key in self.alive), None)

    def least_useful(self, live: Key) -> Snapshot | None:
        """What to give up first: off the live path, then cheap to make again, then long unused."""
        rest = [state for state in self.alive.values() if state.key and state.key != live]
        return min(rest, key=lambda state: worth(state, live), default=None)

    def why(self, wanted: ResumePlan, resumed: int) -> tuple[int, str]:
        """The chunk, and what it did, for which the chunks between a state and the last had to run again."""
        for index in range(resumed, len(wanted.key) - 1):
            if hazard := self.hazards.get(wanted.key[: index + 1], ""):
                return index, hazard
        return 0, ""


def worth(state: Snapshot, live: Key) -> tuple[bool, int, int]:
    cost = round(math.log2(max(state.seconds, 0.001)))
    return state.key == live[: len(state.key)], cost, state.used
