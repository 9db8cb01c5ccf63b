"""Carries a change of one turn to the others: they change too, or keep their code if it fits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from mtchat.features.correction.spread import CarriedCode, Spread
from mtchat.features.regenerate.regenerate import (
    RegenerationStep,
    Regenerator,
    ignore_step,
    was_stopped,
    when_stale,
)
from mtchat.features.regenerate.staleness import TurnChange, find_staleness
from mtchat.generate.context import TurnRequest
from mtchat.generate.events import ChunkChange, LaterTurnChanged
from mtchat.generate.execute import carry_over, failed
from mtchat.generate.improve import stop_on_interrupt
from mtchat.generate.prompt.family import as_conversation
from mtchat.generate.turn import TurnGenerator
from mtchat.session.names import parses
from mtchat.session.outcome import Outcome, output_by_turn
from mtchat.session.prompt import Usage
from mtchat.session.provenance import Correction as CorrectionRecord
from mtchat.session.provenance import Step
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, KEPT, Turn

Accepts = Callable[[str], bool]
OTHER_OUTPUT = "it prints something else"


def carry_change(
    generator: TurnGenerator, before: Session, made: Session, number: int, wish: str, sampling: Sampling
) -> Session:
    """The session after a correction of turn `number`, with the other turns that it reaches changed as well.

    `before` is the session without the correction, `made` the one that ends with the corrected turn. Whether
    code fits is tried quietly, if programs may run so. Raises CarryingStopped if the user stops it.
    """
    change = ChunkChange(number, before.turn_at(number).chunk, made.turn_at(number).chunk)
    return ChangeCarrier(generator, before, made, Spread(before.path, change, wish), sampling).carry()


class CarryingStopped(Exception):  # noqa: N818 - not an error: the user stops it
    """The user stopped a change while it was carried to other turns; `session` has all turns written."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


@dataclass
class ChangeCarrier:
    """Goes through the other turns of a program once one was changed."""

    generator: TurnGenerator
    before: Session
    made: Session
    spread: Spread
    sampling: Sampling

    @property
    def number(self) -> int:
        return self.spread.change.number

    @cached_property
    def walk(self) -> Regenerator:
        """The walk over the later turns; it keeps those that fit, and generates others again."""
        look = self.generator.dry_run
        change = TurnChange(self.number, self.before.turn_at(self.number), self.made.turn_at(self.number))
        return Regenerator(
            self.before,
            self.write_again,
            stop_on_interrupt(look) if look else None,
            when_stale,
            ignore_step,
            self.made,
            [change],
            by_instruction=False,
        )

    @property
    def later(self) -> tuple[Turn, ...]:
        return self.before.path[self.number :]

    def carry(self) -> Session:
        try:
            for turn in self.later:
                self.follow(turn)
            made = self.change_earlier_turns(self.walk.now)
        except KeyboardInterrupt:
            raise CarryingStopped(self.walk.now) from None
        return made

    def follow(self, turn: Turn) -> None:
        """Keeps a later turn, changes it as the correction says, or generates it again."""
        walk = self.walk
        number = len(walk.now.path) + 1
        if failed(walk.seen(walk.now).outcome) and not failed(self.outcome_before(number - 1)):
            self.keep(turn)  # nothing can be said of a turn that is not reached
            return
        carried = self.spread.carry(number, turn.chunk)
        if self.reword(turn, carried) or self.adopt(turn, carried):
            return
        trial = walk.seen(carry_over(walk.now, (turn,)))
        stale = find_staleness(walk.scene(trial, number))
        if stale and stale.certain:
            if walk.look and self.adopt(turn, self.spread.carry_anywhere(turn.chunk)):
                return
            if walk.look and self.ask(turn, stale.reason, lambda code: True):
                return
        elif self.follow_literals(turn, number, trial):
            return
        walk.follow(turn)
        if walk.now.path[-1].chunk != turn.chunk:
            self.tell(number, turn, walk.steps[-1].reason)

    def follow_literals(self, turn: Turn, number: int, trial: Session) -> bool:
        """Asks the model about a turn that has a literal which the change has replaced or taken away.

        True if that settled it.
        """
        spread = self.spread
        texts = spread.carry_texts(number, turn.chunk)
        if texts.code != turn.chunk:
            if not self.ask(turn, texts.reason, lambda code: spread.is_carried(number, turn.chunk, code)):
                self.keep(turn)
            return True
        if not spread.has_what_is_gone(number, turn.chunk) or not self.prints_otherwise(trial):
            return False
        return self.ask(turn, OTHER_OUTPUT, lambda code: spread.is_adapted(number, turn.chunk, code))

    def keep(self, turn: Turn) -> None:
        """Keeps a turn with its code."""
        walk = self.walk
        walk.now = carry_over(walk.now, (turn,))
        walk.steps.append(RegenerationStep(len(walk.now.path), turn))

    def reword(self, turn: Turn, carried: CarriedCode) -> bool:
        """Asks the model for other labels in a turn that prints something else now, and for nothing else."""
        trial = self.walk.seen(carry_over(self.walk.now, (replace(turn, chunk=carried.code),)))
        if not self.runs(trial) or not self.prints_otherwise(trial):
            return False
        if not self.spread.may_be_worded_otherwise(carried.code):
            return False
        reason = carried.reason or OTHER_OUTPUT
        return self.ask(turn, reason, lambda code: self.spread.is_reworded(carried.code, code))

    def adopt(self, turn: Turn, carried: CarriedCode) -> bool:
        """Gives a turn its code with literals and names replaced, if the program then runs up to there."""
        walk = self.walk
        if carried.code == turn.chunk:
            return False
        made = walk.seen(carry_over(walk.now, (replace(turn, chunk=carried.code),)))
        if not self.runs(made):
            return False
        self.advance(turn, made, carried.reason, by_rule=True)
        return True

    def ask(self, turn: Turn, reason: str, accepts: Accepts) -> bool:
        """Asks the model to change a turn as well; its code is taken if it is accepted and runs."""
        walk, policy = self.walk, self.generator.policy
        guidance = as_conversation(policy.guidance)
        record = CorrectionRecord(of=turn.id, guidance=guidance, rules=policy.rules)
        wish = f"{self.spread.wish} (turn {self.number} has changed: {reason})"
        request = TurnRequest(
            walk.now,
            f"{turn.full_instruction}\n{wish}",
            self.generator.signed(record, self.sampling),
            replaces=turn.id,
        )
        made = self.generator.make(request)
        if was_stopped(made, walk.now):
            raise CarryingStopped(made)
        code = made.path[-1].chunk
        tried = walk.seen(made)
        if code != turn.chunk and accepts(code) and self.runs(tried):
            self.advance(turn, tried, reason)
            return True
        walk.now = walk.now.with_alternatives(made)
        return False

    def advance(self, turn: Turn, made: Session, reason: str, by_rule: bool = False) -> None:
        """Continues from another turn in the place of one."""
        number = len(made.path)
        self.walk.advance(RegenerationStep(number, turn, regenerated=True), made)
        self.tell(number, turn, reason, by_rule)

    def tell(self, number: int, turn: Turn, reason: str, by_rule: bool = False) -> None:
        self.generator.on_event(LaterTurnChanged(number, turn.instruction_as_typed, reason, by_rule))

    def runs(self, made: Session) -> bool:
        """Whether a program runs as far as it did before; without a trial, whether it can be read."""
        if made.outcome is None or self.walk.look is None:
            return parses(made.path[-1].chunk)
        return not failed(made.outcome) or failed(self.outcome_before(len(made.path)))

    def outcome_before(self, number: int) -> Outcome | None:
        """What the program up to turn `number` did before the change."""
        return self.walk.seen(replace(self.before, head=self.before.path[number - 1].id)).outcome

    def prints_otherwise(self, trial: Session) -> bool:
        """Whether the last turn of a session prints something else than it did before the change."""
        number = len(trial.path)
        was = self.walk.seen(replace(self.before, head=self.before.path[number - 1].id))
        if was.outcome is None or trial.outcome is None:
            return False
        old, new = (output_by_turn(each.program, each.outcome or Outcome()) for each in (was, trial))
        return old.get(number, "") != new.get(number, "")

    def write_again(self, base: Session, turn: Turn) -> Session:
        """A turn generated again from its instruction, after the changed turns."""
        request = self.generator.step(
            base, turn.full_instruction, self.sampling, typed=turn.typed, replaces=turn.id
        )
        assert isinstance(request.provenance, Step)
        made = self.generator.make(
            replace(request, provenance=replace(request.provenance, rederives=turn.id))
        )
        if was_stopped(made, base):
            raise CarryingStopped(made)
        return self.walk.seen(made)

    def change_earlier_turns(self, made: Session) -> Session:
        """The session with the same literals replaced in earlier turns, if the program runs with that."""
        before = self.before.path[: self.number - 1]
        carried = [self.spread.carry(number, turn.chunk) for number, turn in enumerate(before, start=1)]
        places = [at for at, turn in enumerate(before) if carried[at].code != turn.chunk]
        if not places:
            return made
        changed = made.undo(len(made.path) - places[0])
        for turn, each in zip(before[places[0] :], carried[places[0] :], strict=True):
            changed = carry_over(changed, (replace(turn, chunk=each.code),))
        for turn in made.path[self.number - 1 :]:
            status = KEPT if turn.status == COMPLETE else turn.status
            again = replace(turn, status=status, usage=Usage())
            changed = changed.extend((again,)).inherit_options(turn.id)
        if not self.runs(self.walk.seen(changed)):
            return made
        for at in places:
            self.tell(at + 1, before[at], carried[at].reason, by_rule=True)
        return changed
