"""Compares several candidates for a change that is in doubt, each as a part of the whole program."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mtchat.errors import MtchatError
from mtchat.generate.context import prompt_for
from mtchat.generate.edit_code import asks_to_remove
from mtchat.generate.events import CandidateChosen
from mtchat.generate.execute import RunProgram, carry_over, excused, never_ended
from mtchat.generate.improve import Refinement, is_slow, stop_on_interrupt
from mtchat.generate.judge.arbitrary import without_addresses
from mtchat.generate.judge.regressions import broken_beside
from mtchat.generate.judge.requirements import does_less, unmet_requirements
from mtchat.generate.select import Candidate, choose, compare, words_of
from mtchat.generate.turn import TurnGenerator
from mtchat.session.names import bound_names
from mtchat.session.outcome import output_by_turn
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import Turn

UNCHANGED = 3  # faults of a candidate with the old code: more than of a program that fails


@dataclass(frozen=True)
class RequestedChange:
    """A change of turn `number` as `wish` says; `before` is the session without it, which has run.

    `elsewhere`: another turn may be meant as well.
    """

    before: Session
    number: int
    wish: str
    elsewhere: bool = False

    @property
    def old(self) -> Turn:
        return self.before.turn_at(self.number)

    @property
    def later(self) -> tuple[Turn, ...]:
        return self.before.path[self.number :]


@dataclass(frozen=True, kw_only=True)
class ChangeCandidate(Candidate):
    """A program with one turn changed and the others as they were, which has run as a whole."""

    change: RequestedChange

    @property
    def number(self) -> int:
        return self.change.number

    @property
    def is_unchanged(self) -> bool:
        return self.turn.chunk == self.change.old.chunk

    @cached_property
    def faults(self) -> int:
        """As of a step; to leave the code as it was is worse than to fail."""
        return UNCHANGED if self.is_unchanged else super().faults

    @cached_property
    def unmet_requirements(self) -> int:
        """The number of requirements of the wish that it visibly does not meet, and of turns that it breaks.

        What was asked for before need no longer hold.
        """
        change, outcome = self.change, self.session.outcome
        upto = replace(self.session, head=self.turn.id).program.source
        if outcome is not None:
            outcome = replace(outcome, outputs=(outputs_of(self.session).get(self.number, ""),))
        unmet = unmet_requirements(
            change.wish,
            self.turn.chunk,
            upto,
            outcome,
            may_print=bool(outputs_of(change.before).get(self.number)),
            may_omit=asks_to_remove(change.wish),
        )
        return len(unmet) + self.failed_checks + len(broken_beside(change.before, self.session))

    @property
    def said(self) -> str:
        """What the changed turn and the later ones print."""
        texts = (text for number, text in outputs_of(self.session).items() if number >= self.number)
        return without_addresses("".join(texts).strip())

    @property
    def known_names(self) -> frozenset[str]:
        """The words of the wish, and the names of the program before the change."""
        return bound_names(self.change.before.program.source) | words_of(self.change.wish)


def outputs_of(session: Session) -> dict[int, str]:
    """What each turn of a session printed when it last ran."""
    return output_by_turn(session.program, session.outcome) if session.outcome else {}


def choose_change(
    generator: TurnGenerator, made: Session, change: RequestedChange, sampling: Sampling
) -> Session | None:
    """The session with the best of several candidates for a change, if the first one is in doubt.

    `made` ends with the first one, without the later turns, and so does the result. None if there was no
    doubt, or no way to compare. An interrupt, or an error of the model or the sandbox, leaves the first one.
    """
    if not generator.policy.samples or generator.candidates is None or generator.dry_run is None:
        return None
    if is_slow(change.before.outcome):
        return None
    try:
        probe = stop_on_interrupt(generator.dry_run)
        ran = replace(change, before=change.before.with_outcome(probe(change.before.program)))
        return ChangeComparison(generator, made, ran, sampling, probe).best()
    except (KeyboardInterrupt, MtchatError):
        return made


@dataclass(frozen=True)
class ChangeComparison:
    """The comparison of several candidates for a change; `made` ends with the first one."""

    generator: TurnGenerator
    made: Session
    change: RequestedChange
    sampling: Sampling
    probe: RunProgram

    def best(self) -> Session | None:
        if not self.is_needed():
            return None
        generator, made, base = self.generator, self.made, self.made.undo()
        first = made.path[-1]
        prompt = prompt_for(first.provenance, generator.family, base, first.instruction)
        turns = Refinement(generator, base, prompt, self.sampling, self.probe, made).draw(
            generator.policy.samples
        )
        candidates = compare(
            turns,
            base,
            self.probe,
            self.judge,
            inherits=first.id,
            rest=self.change.later,
            on_event=generator.on_event,
        )
        if self.belongs_elsewhere(candidates):
            return made
        chosen = choose([each for each in candidates if not self.leaves_out(each)], generator.policy).winner
        outcome = chosen.session.outcome
        if chosen.turn.chunk == first.chunk or outcome is None:
            return made
        session = base.add(chosen.turn).inherit_options(first.id)
        generator.on_event(CandidateChosen(session, chosen.turn, outcome, len(turns)))
        return session

    def judge(self, trial: Session, copies: int) -> ChangeCandidate:
        return ChangeCandidate(trial, copies, change=self.change)

    def is_needed(self) -> bool:
        """Whether the first candidate visibly goes wrong, and runs of others can tell more.

        How sure the model was does not count: drawing more for that was not measured to help. A policy
        without a threshold always compares.
        """
        trial = carry_over(self.made, self.change.later)
        outcome = self.probe(trial.program)
        if never_ended(outcome) or excused(outcome) or is_slow(outcome):
            return False
        first = self.judge(trial.with_outcome(outcome), 1)
        always = self.generator.policy.confidence_threshold is None
        return always or bool(first.faults or first.unmet_requirements)

    def belongs_elsewhere(self, candidates: Sequence[ChangeCandidate]) -> bool:
        """Whether most candidates, the first among them, change nothing, and another turn may be meant."""
        if not self.change.elsewhere or self.made.path[-1].chunk != self.change.old.chunk:
            return False
        same = sum(each.copies for each in candidates if each.is_unchanged)
        return 2 * same > sum(each.copies for each in candidates)

    def leaves_out(self, candidate: ChangeCandidate) -> bool:
        """Whether a candidate leaves out something of the wish that the first one does."""
        first, code = self.made.path[-1].chunk, candidate.turn.chunk
        if code == first or first == self.change.old.chunk:
            return False
        return bool(does_less(code, first, self.change.wish, self.made.undo().program.source))
