"""What a typed text can mean, each possibility with its probability."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mtchat.session.navigation import last_step, undo_steps
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, Turn

OFFERED = 3  # readings that a question offers
NEGLIGIBLE = 0.04  # readings below this probability are not offered


class Kind(StrEnum):
    """The kinds of readings; results of benchmarks and the signals of a model know them by these names."""

    STEP = "step"
    CHANGE = "change"
    RENAME = "rename"
    CHECK = "check"
    QUESTION = "question"
    TALK = "talk"


WRITING = (Kind.STEP, Kind.CHANGE, Kind.RENAME)  # what changes the program


@dataclass(frozen=True)
class Reading:
    """One thing that a text can mean, and how likely that is.

    `turns` are the turns that a change or a rename is about, the likeliest first; other kinds have none.
    """

    kind: Kind
    confidence: float = 1.0
    turns: tuple[int, ...] = ()

    @property
    def turn(self) -> int:
        """The turn that a change or a rename is about; 0 for other kinds."""
        return self.turns[0] if self.turns else 0


@dataclass(frozen=True)
class Understanding:
    """The readings of a text, the likeliest first; there is at least one.

    `source` says what told the readings apart: "form" where the form of the text leaves no doubt, "probe" or
    "likelihood" of the model, or "nothing": then the text is taken for a step. The user is asked if the best
    reading has a confidence of less than `ask_below`.
    """

    text: str
    readings: tuple[Reading, ...]
    source: str = "form"
    ask_below: float = 0.0

    @property
    def best(self) -> Reading:
        return self.readings[0]

    @property
    def turns(self) -> tuple[int, ...]:
        """The turns that a change would be about, the likeliest first."""
        return next((each.turns for each in self.readings if each.turns), ())

    @property
    def is_close(self) -> bool:
        """Whether the readings are so close that the user should be asked."""
        return len(self.offered) > 1 and self.best.confidence < self.ask_below

    @property
    def offered(self) -> tuple[Reading, ...]:
        """The readings that a question offers."""
        return tuple(each for each in self.readings[:OFFERED] if each.confidence >= NEGLIGIBLE)

    def among(self, kinds: Collection[Kind]) -> "Understanding":
        """The same with readings of some kinds only, whose probabilities add up to 1 again."""
        left = tuple(each for each in self.readings if each.kind in kinds)
        total = sum(each.confidence for each in left)
        if not total:
            return replace(self, readings=(Reading(Kind.STEP),))
        return replace(
            self, readings=tuple(replace(each, confidence=each.confidence / total) for each in left)
        )


def certain(text: str, kind: Kind, turns: Sequence[int] = ()) -> Understanding:
    """The understanding of a text whose form leaves no doubt."""
    return Understanding(text, (Reading(kind, 1.0, tuple(turns)),))


def latest_with_code(path: Sequence[Turn]) -> tuple[int, ...]:
    """The numbers of the turns with code, the last one first."""
    return tuple(number for number in range(len(path), 0, -1) if path[number - 1].chunk.strip())


@dataclass(frozen=True)
class LastText:
    """The last text that was read, after the turn `base`, and the last turn that each reading made.

    `checks` are the expressions that were kept because it was read as a check.
    """

    text: str = ""
    base: str = ""
    results: tuple[tuple[Kind, int, str], ...] = ()
    checks: tuple[str, ...] = ()

    def after(self, text: str, base: str) -> "LastText":
        """The same for the same text in the same place; else one without results."""
        return self if (text, base) == (self.text, self.base) else LastText(text, base)

    def with_result(self, reading: Reading, head: str) -> "LastText":
        left = tuple(each for each in self.results if each[:2] != (reading.kind, reading.turn))
        return replace(self, results=((reading.kind, reading.turn, head), *left))

    def result(self, kind: Kind, number: int) -> str:
        """The last turn that a reading made, of any turn if the number is 0; "" if it was not tried."""
        fits = (head for each, turn, head in self.results if each is kind and number in (0, turn))
        return next((head for head in fits if head != self.base), "")

    def knows(self, session: Session) -> bool:
        """Whether a session is where one of the readings led, or where that was taken back."""
        heads = [head for _, _, head in self.results]
        return bool(heads) and session.head in (self.base, *heads)

    def live(self, session: Session) -> tuple[Kind, int]:
        """The reading that led to where a session is, and its turn; the last one if it was taken back."""
        found = (each for each in self.results if each[2] == session.head)
        return next(found, self.results[0])[:2] if self.results else (Kind.STEP, 0)


def last_said(session: Session) -> LastText:
    """The text of the last step of a session, as its turns tell it; empty where the user wrote the code."""
    made = last_step(session)
    if made is None or (made.status == EDITED and not made.corrects):
        return LastText()
    base = undo_steps(session)[0].head
    if made.corrects:
        number = len(session.path_to(made.id))
        text = made.instruction.rpartition("\n")[2]
        return LastText(text, base, ((Kind.CHANGE, number, session.head),))
    return LastText(made.instruction_as_typed, base, ((Kind.STEP, 0, session.head),))
