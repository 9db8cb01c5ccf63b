"""Events of a turn, sent in order to whoever shows or records it while it is generated, run and repaired."""

from collections.abc import Callable
from dataclasses import dataclass

from mtchat.session.outcome import Outcome, ReplacedName
from mtchat.session.prompt import Usage
from mtchat.session.session import Session
from mtchat.session.turn import Turn


@dataclass(frozen=True)
class ContextFitted:
    """The context did not fit the model, so the turns with these numbers are folded in the prompt."""

    folded: tuple[int, ...]


@dataclass(frozen=True)
class PrefillFinished:
    """The prompt has been processed; the model starts to write."""

    usage: Usage


@dataclass(frozen=True)
class ThoughtWritten:
    """What the model has thought so far, of at most `budget` tokens, before it writes the code."""

    text: str
    tokens: int
    budget: int


@dataclass(frozen=True)
class CodeWritten:
    """The code of the turn so far; its last line may still grow."""

    code: str


@dataclass(frozen=True)
class TurnWritten:
    """The code of a turn is complete, or was interrupted; `session` contains it and has not run yet."""

    session: Session
    turn: Turn


@dataclass(frozen=True)
class RunStarted:
    """The program starts; `number` is its last turn."""

    number: int


@dataclass(frozen=True)
class RunFinished:
    """The program has ended; `number` is its last turn."""

    outcome: Outcome
    number: int


@dataclass(frozen=True)
class RepairStarted:
    """Round `round` of at most `rounds` starts: the model is asked to repair turn `number`."""

    round: int
    rounds: int
    number: int
    error: str


@dataclass(frozen=True)
class CorrectionStarted:
    """Turn `number` is about to be changed as the user asked; `by_rule`: without asking the model."""

    number: int
    instruction: str
    by_rule: bool = False


@dataclass(frozen=True)
class ChunkChange:
    """The code of turn `number` before and after a correction."""

    number: int
    old: str
    new: str


@dataclass(frozen=True)
class CorrectionFinished:
    """The correction is written and has not run yet; `changes` is empty if it changed no code."""

    session: Session
    changes: tuple[ChunkChange, ...]


@dataclass(frozen=True)
class LaterTurnChanged:
    """Another turn than the one that a correction is about no longer fitted, and has other code now.

    `by_rule`: without asking the model. `reason` says why, such as "`EUR` became `GBP`".
    """

    number: int
    instruction: str
    reason: str
    by_rule: bool = False


@dataclass(frozen=True)
class ValueChange:
    """What turn `number` printed, or the variable `name` held, before and after; None for nothing."""

    old: str | None
    new: str | None
    number: int = 0
    name: str = ""


@dataclass(frozen=True)
class CorrectionCompared:
    """The program ran before and after a correction: the outputs and the variables that differ.

    `kept` counts the other turns with the code that they had. If `values` is None, variables were not
    compared. `files` are those that the new program left, such as figures, whose content is not compared.
    Without any difference and without files, the new code does what the old code did. `broken` are the turns
    that used nothing of what changed, and yet fail, print something else or fail a check now.
    """

    changed: tuple[ChunkChange, ...]
    outputs: tuple[ValueChange, ...]
    values: tuple[ValueChange, ...] | None = None
    kept: int = 0
    files: tuple[str, ...] = ()
    broken: tuple[int, ...] = ()

    @property
    def has_effect(self) -> bool:
        """Whether anything was seen to differ, or may do so in files."""
        return bool(self.outputs or self.values or self.files)


@dataclass(frozen=True)
class CandidatesStarted:
    """`count` candidates for turn `number`, the current one included, are written and run for comparison."""

    count: int
    number: int


@dataclass(frozen=True)
class CandidateProgress:
    """Of `count` candidates, `written` are complete and `ran` have run; `pieces` of text have arrived."""

    written: int
    ran: int
    count: int
    pieces: int = 0


@dataclass(frozen=True)
class CandidateChosen:
    """Another candidate than the first is better, of `count` compared; it replaces the turn and has run."""

    session: Session
    turn: Turn
    outcome: Outcome
    count: int


@dataclass(frozen=True)
class NamesReplaced:
    """The last turn gives names of earlier turns another meaning without being asked, and stays so."""

    session: Session
    names: tuple[ReplacedName, ...]


@dataclass(frozen=True)
class AttemptsExhausted:
    """Every attempt at the last turn fails; `session` holds the best one.

    `failing` is the code of other attempts that fail, `discarded` the code of repairs that run but are no
    better than what they repair.
    """

    session: Session
    failing: frozenset[str] = frozenset()
    discarded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Notice:
    """Something to say beside the turns: `level` is "note", "warning" or "error"."""

    text: str
    level: str = "note"


@dataclass(frozen=True)
class RunStopped:
    """Ctrl-C stopped a program, whatever it was run for."""


ChoiceEvent = CandidatesStarted | CandidateProgress | CandidateChosen | AttemptsExhausted | NamesReplaced
CorrectionEvent = CorrectionStarted | LaterTurnChanged | CorrectionFinished | CorrectionCompared
Event = (
    ContextFitted
    | PrefillFinished
    | ThoughtWritten
    | CodeWritten
    | TurnWritten
    | RunStarted
    | RunFinished
    | RepairStarted
    | CorrectionEvent
    | ChoiceEvent
    | Notice
    | RunStopped
)
EventHandler = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing: the handler for callers that only want the result."""
