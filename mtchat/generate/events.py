"""What happens while a turn is made, told to whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass

from mtchat.session.outcome import Outcome
from mtchat.session.prompt import Usage
from mtchat.session.session import Session
from mtchat.session.turn import Turn


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
class Correcting:
    """A turn starts to be changed as the user said; `by_rule` where no model is asked."""

    number: int
    instruction: str
    by_rule: bool = False


@dataclass(frozen=True)
class Change:
    """The code of a turn before and after a correction."""

    number: int
    old: str
    new: str


@dataclass(frozen=True)
class Corrected:
    """A correction is made and has not run; these chunks are other ones now, none where it is the same."""

    session: Session
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Weighing:
    """So many candidates for the turn of this number are written and run, to choose the best."""

    count: int
    number: int


@dataclass(frozen=True)
class Weighed:
    """So many of the candidates that are weighed are written, in so many pieces, and so many have run."""

    written: int
    ran: int
    count: int
    pieces: int = 0


@dataclass(frozen=True)
class Chose:
    """Another candidate than the first one is better; it has run, and so many were weighed."""

    session: Session
    turn: Turn
    outcome: Outcome
    count: int


@dataclass(frozen=True)
class Settled:
    """Nothing that was tried for the last turn is right: the session has the best.

    `failing` is the code of other tries that fail, `unkept` that of mendings that run and are no better.
    """

    session: Session
    failing: frozenset[str] = frozenset()
    unkept: frozenset[str] = frozenset()


Choosing = Weighing | Weighed | Chose | Settled
Event = Fitted | Read | Wrote | Made | Running | Ran | Mending | Correcting | Corrected | Choosing
Watch = Callable[[Event], None]


def unseen(event: Event) -> None:
    """A watcher for those who only want the result."""
