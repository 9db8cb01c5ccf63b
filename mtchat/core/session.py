"""The session: an immutable tree of turns with a head; every change gives a new session."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from mtchat.core.given import Attached
from mtchat.core.outcome import Outcome
from mtchat.core.program import Program, assemble
from mtchat.core.turn import Turn
from mtchat.errors import MtchatError

ROOT = ""


@dataclass(frozen=True)
class Session:
    """Turns in the order they were made, parents first. `head` is the id of the live turn, "" the root.

    `visited` maps a turn to the child that was last on the live path, which is where redo goes.
    `outcomes` holds, by turn id, what the program of the path up to that turn last did. `attached` are the
    files of the user's that its runs get.
    """

    name: str = ""
    preamble: str = ""
    turns: tuple[Turn, ...] = ()
    head: str = ROOT
    visited: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    attached: tuple[Attached, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Turn]:
        return {turn.id: turn for turn in self.turns}

    @property
    def path(self) -> tuple[Turn, ...]:
        """The live conversation, root to head."""
        return self.path_to(self.head)

    @property
    def program(self) -> Program:
        return assemble(self.path, self.preamble)

    @property
    def outcome(self) -> Outcome | None:
        """What the live program last did, None when it has not run."""
        return self.outcomes.get(self.head)

    def path_to(self, turn: str) -> tuple[Turn, ...]:
        steps = []
        while turn != ROOT:
            steps.append(self.get(turn))
            turn = steps[-1].parent
        return tuple(reversed(steps))

    def get(self, turn: str) -> Turn:
        if turn not in self.by_id:
            raise MtchatError(f"no turn {turn!r} in this session")
        return self.by_id[turn]

    def numbered(self, number: int) -> Turn:
        """Turn `number` of the live path, counted from 1."""
        if not 1 <= number <= len(self.path):
            raise MtchatError(f"no turn {number}; the program has {count(len(self.path))}")
        return self.path[number - 1]

    def children(self, turn: str) -> tuple[Turn, ...]:
        return tuple(each for each in self.turns if each.parent == turn)

    def add(self, turn: Turn) -> "Session":
        """This session with a turn added and the head on it; one that is there already is only moved to."""
        if turn.parent != ROOT:
            self.get(turn.parent)
        grown = self if turn.id in self.by_id else replace(self, turns=(*self.turns, turn))
        return grown.move(turn.id)

    def extend(self, turns: tuple[Turn, ...]) -> "Session":
        """Turns added one below the other at the head, each given the parent it gets there."""
        grown = self
        for turn in turns:
            grown = grown.add(replace(turn, parent=grown.head))
        return grown

    def move(self, head: str) -> "Session":
        """This session with its head on another turn; nothing is lost."""
        path = self.path_to(head)
        steps = {turn.parent: turn.id for turn in path}
        return replace(self, head=head, visited={**self.visited, **steps})

    def undo(self, turns: int = 1) -> "Session":
        if not self.path:
            raise MtchatError("nothing to undo: the program has no turns")
        if not 1 <= turns <= len(self.path):
            raise MtchatError(f"cannot undo {turns}: the program has {count(len(self.path))}")
        return replace(self, head=self.path[-turns].parent)

    def redo(self, turns: int = 1) -> "Session":
        moved = self
        for done in range(turns):
            if moved.head not in moved.visited:
                if done:
                    raise MtchatError(f"cannot redo {turns}: only {done} can be brought back")
                raise MtchatError("nothing to redo: this is the last turn of the branch")
            moved = replace(moved, head=moved.visited[moved.head])
        return moved

    def with_outcome(self, outcome: Outcome) -> "Session":
        """This session with what its live program did."""
        return replace(self, outcomes={**self.outcomes, self.head: outcome})


def count(turns: int) -> str:
    return f"{turns} turn{'' if turns == 1 else 's'}"
