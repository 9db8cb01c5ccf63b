"""Derives later turns again when one before them has changed: kept where they still fit, else made again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mtchat.features.regenerate.staleness import PrefixComparison, Staleness, TurnChange, find_staleness
from mtchat.generate.bettering import uninterrupted
from mtchat.generate.choice import Candidate
from mtchat.generate.running import Run, kept, tried
from mtchat.session.outcome import Outcome
from mtchat.session.prompt import Usage
from mtchat.session.provenance import BY_HAND, Fill
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, INTERRUPTED, Turn

TakeTurn = Callable[[Session, Turn], Session]


@dataclass(frozen=True)
class RegenerationStep:
    """What becomes of a later turn: made `again`, or kept; `doubt` is what speaks against its code.

    `is_worse` says that it was made again and is kept as it was all the same.
    """

    number: int
    turn: Turn
    again: bool = False
    doubt: Staleness | None = None
    worse: bool = False

    @property
    def reason(self) -> str:
        return self.doubt.reason if self.doubt else ""


Decide = Callable[[RegenerationStep], bool]
OnStep = Callable[[RegenerationStep, Session], None]


@dataclass(frozen=True)
class Regeneration:
    """The session whose path ends with the last turn again, and what became of each later turn."""

    session: Session
    steps: tuple[RegenerationStep, ...]

    @property
    def again(self) -> tuple[int, ...]:
        """The numbers of the turns that were made again."""
        return tuple(step.number for step in self.steps if step.again)


def when_stale(step: RegenerationStep) -> bool:
    """Made again where something speaks against the code; what the user wrote only where it cannot stay."""
    if step.doubt is None:
        return False
    return step.doubt.sure or step.turn.status != EDITED


def always(step: RegenerationStep) -> bool:
    return True


def never(step: RegenerationStep) -> bool:
    return False


def ignore_step(step: RegenerationStep, session: Session) -> None:
    """For those who only want the result."""


def with_user_code(session: Session, number: int, code: str, filled: str = "") -> Session:
    """The session up to turn `number`, which has code that the user wrote; it has not run yet.

    `filled` names the model that filled the holes in it.
    """
    old = session.numbered(number)
    provenance = Fill(by=filled) if filled else BY_HAND
    turn = replace(old, chunk=code, status=EDITED, provenance=provenance, usage=Usage())
    return session.undo(len(session.path) - number + 1).add(turn).inherit(old.id)


def regenerate(
    old: Session,
    made: Session,
    take: TakeTurn,
    look: Run | None = None,
    decide: Decide = when_stale,
    tell: OnStep = ignore_step,
) -> Regeneration:
    """The turns that `old` has after the last one of `made`, each kept or taken again on the new prefix.

    `made` is `old` with its path up to a turn that was replaced. `take` makes a turn like another, and
    `look` runs a program quietly and tells its variables; without it only the code is judged. `tell` hears
    of each turn before it is made, and again where it is kept after all. What the user stops raises
    KeyboardInterrupt: what was made by then is in the sessions that the watcher of `take` heard of.
    """
    number = len(made.path)
    made = made.inherit(old.numbered(number).id)
    changes = [TurnChange(number, old.numbered(number), made.numbered(number))]
    derivation = Regenerator(old, take, uninterrupted(look) if look else None, decide, tell, made, changes)
    for turn in old.path[number:]:
        derivation.follow(turn)
    return Regeneration(derivation.now, tuple(derivation.steps))


@dataclass
class Regenerator:
    """Later turns that are derived again. `now` is the new branch as far as it has come."""

    old: Session
    take: TakeTurn
    look: Run | None
    decide: Decide
    tell: OnStep
    now: Session
    changes: list[TurnChange]
    steps: list[RegenerationStep] = field(default_factory=list)
    looked: dict[str, Outcome] = field(default_factory=dict)

    def follow(self, turn: Turn) -> None:
        """One later turn, on the new branch."""
        number = len(self.now.path) + 1
        trial = self.seen(kept(self.now, (turn,)))
        read = self.old.language.runs  # doubts are about Python code
        step = RegenerationStep(
            number, turn, doubt=find_staleness(self.scene(trial, number)) if read else None
        )
        step = replace(step, again=self.decide(step))
        self.tell(step, self.now)
        if step.again:
            made = self.take(self.now, turn)
            if was_stopped(made, self.now):
                raise KeyboardInterrupt
            made = made.inherit(turn.id)
            if not self.regretted(step, made, trial):
                self.advance(step, made)
                return
            step = replace(step, again=False, worse=True)
            self.tell(step, self.now)
            self.now = self.now.beside(made)
        self.now = self.recorded(kept(self.now, (turn,)), trial.outcome)
        self.steps.append(step)

    def regretted(self, step: RegenerationStep, made: Session, trial: Session) -> bool:
        """Whether a turn is better kept after all; what the user has decided stands."""
        sure = step.doubt is None or step.doubt.sure
        return not sure and self.decide is when_stale and is_worse(made, trial)

    def advance(self, step: RegenerationStep, made: Session) -> None:
        """Goes on from a turn that was made again."""
        self.now = made
        self.steps.append(step)
        if made.path[-1].chunk != step.turn.chunk:
            self.changes.append(TurnChange(step.number, step.turn, made.path[-1]))

    def scene(self, trial: Session, number: int) -> PrefixComparison:
        """What is known of a later turn on both prefixes."""
        was, before = (
            self.seen(replace(self.old, head=self.old.path[place - 1].id)) for place in (number, number - 1)
        )
        return PrefixComparison(was, trial, before.outcome, self.seen(self.now).outcome, self.changes)

    def seen(self, session: Session) -> Session:
        """A session with what its program does when it is looked at; that is found out once."""
        if self.look is None:
            return session
        if session.head not in self.looked:
            outcome = tried(session, self.look).outcome
            if outcome is None:
                return session
            self.looked[session.head] = outcome
        return session.with_outcome(self.looked[session.head])

    def recorded(self, session: Session, outcome: Outcome | None) -> Session:
        """A session with an outcome to keep, which has no variables."""
        return session if outcome is None else session.with_outcome(replace(outcome, variables=()))


def was_stopped(made: Session, base: Session) -> bool:
    """Whether the user stopped a turn while it was written or run."""
    if made.head == base.head or made.path[-1].status == INTERRUPTED:
        return True
    return made.outcome is not None and made.outcome.stopped


def is_worse(made: Session, trial: Session) -> bool:
    """Whether a turn that was made again is seen to be worse than the code it had."""
    if made.outcome is None or trial.outcome is None:
        return False
    new, old = Candidate(made), Candidate(trial)
    return (new.faults, new.unmet) > (old.faults, old.unmet)
