"""What happens while a turn is made, told to whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass

from mtchat.core.outcome import Outcome
from mtchat.core.prompt import Usage
from mtchat.core.session import Session
from mtchat.core.turn import Turn


@dataclass(frozen=True)
class Fitted:
    """The whole context would not fit the model, so in it the turns of these numbers are folded."""

    folded: tuple[int, ...]


@dataclass(frozen=True)
class Read:
    """The prompt is prefilled; the model has begun to write."""

    usage: Usage


@dataclass(frozen=True)
class Wrote:
    """The code of the turn as far as it has been written; the last line may still grow."""

    code: str


@dataclass(frozen=True)
class Made:
    """A turn is finished, or was interrupted; the session that has it has not run yet."""

    session: Session
    turn: Turn


@dataclass(frozen=True)
class Running:
    """The program starts; its last turn has this number."""

    number: int


@dataclass(frozen=True)
class Ran:
    """The program ended, on the path whose last turn has this number."""

    outcome: Outcome
    number: int


@dataclass(frozen=True)
class Mending:
    """One round of asking the model to mend a turn starts."""

    round: int
    rounds: int
    number: int
    error: str


@dataclass(frozen=True)
class Weighing:
    """So many candidates for the turn of this number are written and run, to choose the best."""

    count: int
    number: int


@dataclass(frozen=True)
class Chose:
    """Another candidate than the first one is better; it has run, and so many were weighed."""

    session: Session
    turn: Turn
    outcome: Outcome
    count: int


Event = Fitted | Read | Wrote | Made | Running | Ran | Mending | Weighing | Chose
Watch = Callable[[Event], None]


def unseen(event: Event) -> None:
    """A watcher for those who only want the result."""
