"""The session: an immutable tree of turns with a head; every change gives a new session."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mtchat.errors import MtchatError, UsageError
from mtchat.session.language import PYTHON, Language
from mtchat.session.outcome import Outcome
from mtchat.session.program import AttachedFile, Check, Program, assemble
from mtchat.session.turn import KEPT, Turn, TurnOptions

ROOT = ""


class Index(Mapping[str, Turn]):
    """The turns of a session by their ids.

    Sessions that grow out of each other share `places`, from ids to places in the turns; the first that
    branches off takes a copy, so that adding a turn to a long session costs nothing like its length.
    """

    def __init__(self, turns: tuple[Turn, ...], places: dict[str, int] | None = None) -> None:
        self.turns = turns
        self.places = {turn.id: place for place, turn in enumerate(turns)} if places is None else places

    def extended(self, turns: tuple[Turn, ...]) -> "Index":
        """The index of these turns and one more at their end."""
        if len(self.places) != len(turns) - 1:
            return Index(turns)
        self.places[turns[-1].id] = len(turns) - 1
        return Index(turns, self.places)

    def __contains__(self, turn: object) -> bool:
        return isinstance(turn, str) and self.places.get(turn, len(self.turns)) < len(self.turns)

    def __getitem__(self, turn: str) -> Turn:
        if turn not in self:
            raise KeyError(turn)
        return self.turns[self.places[turn]]

    def __iter__(self) -> Iterator[str]:
        return (turn.id for turn in self.turns)

    def __len__(self) -> int:
        return len(self.turns)


@dataclass(frozen=True)
class Session:
    """A tree of turns with a live path from the root to `head`. It never changes: each method that adds,
    moves or replaces something returns another session.

    `turns` are in the order in which they were made, parents first; `head` is the id of the live turn, "" for
    the root. `preamble` is code that runs before the first turn. `visited` maps the id of a turn to that of
    the child that was last on the live path, which is where redo goes. `outcomes` maps the id of a turn to
    what the program up to that turn last did. `attached` are the user's files that each run gets a copy of.
    `turn_options` maps the id of a turn to what the user decided about it. `branches` maps the name of each
    branch to the id of its last turn; the one named `branch` ("" for none) grows with the turns added at its
    end. All turns are written in `language`. Methods raise MtchatError for a turn that the session does not
    have.
    """

    name: str = ""
    preamble: str = ""
    turns: tuple[Turn, ...] = ()
    head: str = ROOT
    visited: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    attached: tuple[AttachedFile, ...] = ()
    turn_options: Mapping[str, TurnOptions] = field(default_factory=dict)
    branches: Mapping[str, str] = field(default_factory=dict)
    branch: str = ""
    language: Language = PYTHON

    @cached_property
    def by_id(self) -> Index:
        return Index(self.turns)

    @cached_property
    def path(self) -> tuple[Turn, ...]:
        """The live turns, from the first to the head."""
        return self.path_to(self.head)

    @property
    def program(self) -> Program:
        """The live program: the code of the live turns after the preamble."""
        return assemble(self.path, self.preamble, self.checks)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of the live path; if a later turn holds the code of a check's turn, made after that."""
        if not any(options.checks for options in self.turn_options.values()):
            return ()
        path = self.path
        return tuple(
            Check(number, code, turn_with_code(path, number))
            for number, turn in enumerate(path, start=1)
            for code in self.options_of(turn.id).checks
        )

    @property
    def outcome(self) -> Outcome | None:
        """What the live program last did; None if it has not run."""
        return self.outcomes.get(self.head)

    def turn_succeeded(self, turn: str) -> bool | None:
        """Whether a turn ran well as the last of its program, or else in a longer one; None if it never ran.

        A turn that was kept when an earlier one changed has only run as part of a longer program.
        """
        if turn in self.outcomes:
            return self.outcomes[turn].ok
        for end, outcome in reversed(tuple(self.outcomes.items())):
            path = self.path_to(end)
            ids = [each.id for each in path]
            if (
                turn in ids
                and (known := outcome.passed(turn_with_code(path, ids.index(turn) + 1))) is not None
            ):
                return known
        return None

    def path_to(self, turn: str) -> tuple[Turn, ...]:
        """The turns from the first to the one with this id."""
        steps = []
        while turn != ROOT:
            steps.append(self.get(turn))
            turn = steps[-1].parent
        return tuple(reversed(steps))

    def get(self, turn: str) -> Turn:
        """The turn with this id; MtchatError if there is none."""
        if turn not in self.by_id:
            raise MtchatError(f"no turn {turn!r} in this session")
        return self.by_id[turn]

    def turn_at(self, number: int) -> Turn:
        """Turn `number` of the live path, counted from 1."""
        if not isinstance(number, int):
            raise UsageError(f"a turn is named by its number from 1, not by {number!r}")
        if not 1 <= number <= len(self.path):
            raise MtchatError(
                f"no turn {number}; the program has {count_turns(len(self.path))}, and /show shows them"
            )
        return self.path[number - 1]

    def children(self, turn: str) -> tuple[Turn, ...]:
        """The turns right after the one with this id, in the order in which they were made."""
        return tuple(each for each in self.turns if each.parent == turn)

    def add(self, turn: Turn) -> "Session":
        """This session with a turn added and the head on it; a turn that it has already is only moved to."""
        if turn.parent != ROOT:
            self.get(turn.parent)
        grown = self if turn.id in self.by_id else self.with_turn(turn)
        moved = grown.move(turn.id)
        if not self.branch:
            return moved
        if self.belongs_to_branch(self.branch, turn):
            return moved.with_values(branches={**self.branches, self.branch: turn.id})
        return moved.with_values(branch="")

    def with_turn(self, turn: Turn) -> "Session":
        """This session with one more turn, where its head is."""
        grown = replace(self, turns=(*self.turns, turn))
        grown.cache_properties(by_id=self.by_id.extended(grown.turns), path=self.path)
        return grown

    def with_values(self, **values: Any) -> "Session":
        """This session with other values; what is known of its turns and its path stays known."""
        new = replace(self, **values)
        known: dict[str, Any] = {"by_id": self.by_id} if new.turns is self.turns else {}
        if "path" in self.__dict__ and known and new.head == self.head:
            known["path"] = self.path
        new.cache_properties(**known)
        return new

    def cache_properties(self, **known: Any) -> None:
        """What is known of this value already need not be found out when it is asked for."""
        self.__dict__.update(known)

    def belongs_to_branch(self, branch: str, turn: Turn) -> bool:
        """Whether a turn belongs to a branch: it is at its end, or corrects or retries one of its turns."""
        end = self.branches[branch]
        if end == turn.parent:
            return True
        here = (turn.parent, turn.instruction)
        path = self.path_to(end)
        return any(each.id == turn.corrects or (each.parent, each.instruction) == here for each in path)

    def extend(self, turns: tuple[Turn, ...]) -> "Session":
        """Turns added one below the other at the head, each given the parent it gets there."""
        if not turns:
            return self
        chain, head = list[Turn](), self.head
        for turn in turns:
            chain.append(replace(turn, parent=head))
            head = chain[-1].id
        if self.branch:
            grown = self
            for turn in chain:
                grown = grown.add(turn)
            return grown
        known = self.by_id
        fresh = (turn for turn in chain if turn.id not in known)
        return replace(self, turns=(*self.turns, *fresh)).move(head)

    def move(self, head: str) -> "Session":
        """This session with its head on another turn; no turn is removed."""
        if head != ROOT and self.get(head).parent == self.head:  # so the way to it is as it was
            path, steps = (*self.path, self.get(head)), {self.head: head}
        else:
            path = self.path_to(head)
            steps = {turn.parent: turn.id for turn in path}
        moved = self.with_values(head=head, visited={**self.visited, **steps})
        moved.cache_properties(path=path)
        return moved

    def undo(self, turns: int = 1) -> "Session":
        """This session with its head this many turns earlier; MtchatError if there are not as many."""
        if not self.path:
            raise MtchatError("nothing to undo: the program has no turns yet; type an instruction to begin")
        if not 1 <= turns <= len(self.path):
            raise MtchatError(
                f"cannot undo {turns}: the program has {count_turns(len(self.path))}; /undo undoes one"
            )
        return self.with_values(head=self.path[-turns].parent)

    def redo(self, turns: int = 1) -> "Session":
        """This session with its head this many turns later; MtchatError if it was never there."""
        moved = self
        for done in range(turns):
            if moved.head not in moved.visited:
                if done:
                    raise MtchatError(f"cannot redo {turns}: only {done} can be restored; use /redo {done}")
                raise MtchatError(
                    "nothing to redo: no turn comes after this one; /redo restores what /undo removed"
                )
            moved = moved.with_values(head=moved.visited[moved.head])
        return moved

    def options_of(self, turn: str) -> TurnOptions:
        """What the user decided about a turn."""
        return self.turn_options.get(turn, TurnOptions())

    def with_options(self, turn: str, options: TurnOptions) -> "Session":
        self.get(turn)
        others = {each: known for each, known in self.turn_options.items() if each != turn}
        return self.with_values(
            turn_options=others if options == TurnOptions() else {**others, turn: options}
        )

    def inherit_options(self, turn: str) -> "Session":
        """This session, whose last turn takes over what the user decided about the one it replaces."""
        return (
            self.with_options(self.head, self.turn_options[turn])
            if turn in self.turn_options and self.path
            else self
        )

    def with_alternatives(self, made: "Session") -> "Session":
        """This session with the turns of a later one beside its live path, which stays as it is."""
        return self.with_values(turns=made.turns, outcomes=made.outcomes, turn_options=made.turn_options)

    def name_branch(self, name: str) -> "Session":
        """This session with a name for the live branch, which grows with it from now on."""
        return self.with_values(branches={**self.branches, name: self.head}, branch=name)

    def go_to_branch(self, name: str) -> "Session":
        if name not in self.branches:
            raise MtchatError(f"no branch {name!r}; /tree shows them, /branch {name} creates one here")
        return replace(self.move(self.branches[name]), branch=name)

    def with_language(self, language: Language) -> "Session":
        """This session in a language; UsageError if it has code in another one."""
        if language != self.language and (self.turns or self.preamble.strip()):
            raise UsageError(
                f"this session is written in {self.language.title}, and that cannot change; "
                f"mtchat --language {language.name} begins a new one in {language.title}"
            )
        return self.with_values(language=language)

    def with_outcome(self, outcome: Outcome) -> "Session":
        """This session with the outcome of its live program."""
        return self.with_values(outcomes={**self.outcomes, self.head: outcome})


def turn_with_code(path: tuple[Turn, ...], number: int) -> int:
    """The number of the turn with the code of a turn: its own, or a later one that rewrote the program."""
    turn = path[number - 1]
    if turn.chunk or turn.status != KEPT:
        return number
    return next((at for at, each in enumerate(path, start=1) if at > number and each.chunk), number)


def count_turns(turns: int) -> str:
    return f"{turns} turn{'' if turns == 1 else 's'}"
