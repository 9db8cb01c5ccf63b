"""The program: the chunks of a path as one source, with a map from its lines back to turns."""

from dataclasses import dataclass
from functools import cached_property

from mtchat.session.claim import Check
from mtchat.session.turn import Turn

PREAMBLE = 0


@dataclass(frozen=True)
class Chunk:
    """The code of one turn; `turn` counts from 1, and 0 is the session's preamble."""

    turn: int
    code: str


@dataclass(frozen=True)
class Location:
    """A line of a turn; both count from 1 (turn 0 is the preamble)."""

    turn: int
    line: int


@dataclass(frozen=True)
class Program:
    """Chunks in order. Each is compiled under its own file name, so errors name the turn.

    `name` is the file's name when the program is one file and not a conversation. `claims` are what must
    hold after its turns.
    """

    chunks: tuple[Chunk, ...] = ()
    name: str = ""
    claims: tuple[Check, ...] = ()

    def label(self, turn: int) -> str:
        """What to call a chunk when it fails: "turn 3", "preamble", or the file's name."""
        return self.name or (f"turn {turn}" if turn != PREAMBLE else "preamble")

    @cached_property
    def source(self) -> str:
        """The chunks as one module, one blank line between them, ending in a newline ("" when empty)."""
        parts = [chunk.code.rstrip("\n") for chunk in self.chunks if chunk.code.strip()]
        return "\n\n".join(parts) + "\n" if parts else ""

    @cached_property
    def places(self) -> tuple[Location | None, ...]:
        """The turn and line behind each line of `source`; None for the blank lines between chunks."""
        found: list[Location | None] = []
        for chunk in self.chunks:
            if not chunk.code.strip():
                continue
            if found:
                found.append(None)
            count = chunk.code.rstrip("\n").count("\n") + 1
            found.extend(Location(chunk.turn, line) for line in range(1, count + 1))
        return tuple(found)


def assemble(path: tuple[Turn, ...], preamble: str = "", claims: tuple[Check, ...] = ()) -> Program:
    """The program of a path. A turn without code keeps its number."""
    first = (Chunk(PREAMBLE, preamble),) if preamble.strip() else ()
    chunks = (Chunk(number, turn.chunk) for number, turn in enumerate(path, start=1))
    return Program((*first, *chunks), claims=claims)
