"""Chooses among candidates for a turn: by whether they run, what they do, and how likely they are."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from mtchat.generate.events import CandidateProgress, EventHandler, ignore
from mtchat.generate.execute import RunProgram, carry_over
from mtchat.generate.generated_tests import (
    Assertion,
    AssertionResults,
    calling,
    checking_code,
    functions,
    read_results,
)
from mtchat.generate.judge.arbitrary import without_addresses, without_identity
from mtchat.generate.judge.replaced_names import find_replaced_names
from mtchat.generate.judge.requirements import unmet_requirements
from mtchat.generate.policy import Policy
from mtchat.generate.postprocess import undefined_names
from mtchat.session.names import bound_names
from mtchat.session.outcome import ReplacedName, Variable
from mtchat.session.program import Chunk, Program
from mtchat.session.session import Session
from mtchat.session.turn import Turn

Behaviour = tuple[object, ...]
Judged = TypeVar("Judged", bound="Candidate")


@dataclass(frozen=True)
class Candidate:
    """A session that has run, whose turn `number`, the last one, is one of several for the same instruction.

    `copies` completions gave this code. `examples` are the results of the assertions in the instruction,
    `generated` those of the assertions that the model wrote. `replaced` are the names of earlier turns that
    it gives another meaning without being asked.
    """

    session: Session
    copies: int = 1
    examples: AssertionResults = AssertionResults()
    generated: AssertionResults = AssertionResults()
    replaced: tuple[ReplacedName, ...] = ()

    @property
    def number(self) -> int:
        return len(self.session.path)

    @property
    def turn(self) -> Turn:
        return self.session.turn_at(self.number)

    @cached_property
    def faults(self) -> int:
        """2 if the program fails, 1 if it runs but contains a name that is never bound, else 0."""
        outcome = self.session.outcome
        if outcome is None or not outcome.ok:
            return 2
        return 1 if undefined_names(self.session.program.source) else 0

    @cached_property
    def unmet_requirements(self) -> int:
        """The number of requirements that it visibly does not meet; to keep earlier turns is one, too."""
        turn, source = self.turn, self.session.program.source
        unmet = unmet_requirements(turn.instruction, turn.chunk, source, self.session.outcome)
        failing = self.examples.passed.count(False) + self.failed_checks
        return len(unmet) + failing + len(self.replaced)

    @property
    def failed_checks(self) -> int:
        """The number of checks of the turn that fail."""
        outcome = self.session.outcome
        return sum(each.turn == self.number for each in outcome.failed_checks) if outcome else 0

    @cached_property
    def behaviour(self) -> Behaviour:
        """What the turn does: its output, and the values of the variables that other turns can see.

        Names that occur neither in the instruction nor in an earlier turn do not count.
        """
        outcome = self.session.outcome
        if outcome is None or not outcome.ok:
            return ("fails",)
        seen = sorted((each.name, each.kind, each.shape, without_identity(each.value)) for each in self.seen)
        return (self.said, *seen, *self.examples.given, *self.generated.given)

    @property
    def said(self) -> str:
        """The output that counts as behaviour: that of the turn."""
        outcome = self.session.outcome
        return without_addresses(outcome.outputs[-1].strip()) if outcome and outcome.outputs else ""

    @cached_property
    def seen(self) -> tuple[Variable, ...]:
        """The variables after the turn that other turns can see."""
        outcome, known = self.session.outcome, self.known_names
        return tuple(each for each in (outcome.variables if outcome else ()) if each.name in known)

    @property
    def known_names(self) -> frozenset[str]:
        """The words of the instruction, and the names of the program before it."""
        return bound_names(self.session.undo().program.source) | words_of(self.turn.instruction)

    @cached_property
    def shows(self) -> str:
        """The output of the turn, with numbers and lists normalised."""
        outcome = self.session.outcome
        text = outcome.outputs[-1] if outcome and outcome.ok and outcome.outputs else ""
        return normalised_text(text)

    def ends_like(self, other: "Candidate") -> bool:
        """Whether its output ends with that of another candidate."""
        return f" {self.shows}".endswith(f" {other.shows}")

    @property
    def likelihood(self) -> float:
        """The geometric mean of the probabilities of its tokens."""
        return math.exp(self.turn.usage.mean_logprob)


def words_of(instruction: str) -> frozenset[str]:
    """The words of an instruction that could be names."""
    return frozenset(re.findall(r"\w+", instruction))


def normalised_text(text: str) -> str:
    """A text with numbers rounded to six places, and without brackets and commas."""
    return " ".join(normalised_word(word) for word in re.sub(r"[\[\](),]", " ", text).split())


def normalised_word(word: str) -> str:
    """A word, rounded to six places if it is a number."""
    try:
        return f"{round(float(word), 6) + 0.0:g}"
    except (ValueError, OverflowError):
        return word


def is_doubtful(candidate: Candidate, policy: Policy) -> bool:
    """Whether a first completion is worth comparing with others."""
    unsure = (
        policy.confidence_threshold is None or candidate.turn.usage.mean_logprob < policy.confidence_threshold
    )
    return unsure or bool(candidate.faults or candidate.unmet_requirements)


@dataclass(frozen=True)
class CandidateChoice:
    """The best of several candidates, and the weighted share of candidates that behave like it."""

    winner: Candidate
    share: float


def choose(candidates: Sequence[Candidate], policy: Policy) -> CandidateChoice:
    """The likeliest candidate of the heaviest group with the same behaviour, among those with fewest faults.

    Agreement by behaviour: Shi et al. 2022, arXiv:2204.11454; Li et al. 2022, arXiv:2203.07814.
    """
    least = min((each.faults, each.unmet_requirements) for each in candidates)
    fit = [each for each in candidates if (each.faults, each.unmet_requirements) == least]
    weights: dict[Behaviour, float] = defaultdict(float)
    total = 0.0
    for each in candidates:
        weight = each.copies * (each.likelihood if policy.weigh_by_likelihood else 1)
        total += weight
        if each in fit:
            weights[each.behaviour] += weight
    shares = {behaviour: weight / total for behaviour, weight in weights.items()}
    if policy.generated_tests:
        for each in {each.behaviour: each for each in fit}.values():
            weights[each.behaviour] *= 1 + each.generated.passed.count(True)
    winner = max(fit, key=lambda each: (weights[each.behaviour], each.likelihood))
    return CandidateChoice(winner, shares[winner.behaviour])


def compare(
    turns: Sequence[Turn],
    base: Session,
    probe: RunProgram,
    judge: Callable[[Session, int], Judged],
    *,
    inherits: str = "",
    rest: tuple[Turn, ...] = (),
    on_event: EventHandler = ignore,
) -> list[Judged]:
    """Candidates of turns after a session, each distinct code run once.

    They take over the options of the turn with the id `inherits`, and the turns of `rest` come after them.
    `judge` makes a candidate of a session that has run, and of the number of completions that gave its code.
    """
    copies = Counter(turn.chunk for turn in turns)
    trials: dict[str, Session] = {}  # the first of those with the same code, in their order
    for turn in turns:
        if turn.chunk not in trials:
            trial = base.add(replace(turn, parent=base.head)).inherit_options(inherits)
            trials[turn.chunk] = carry_over(trial, rest)
    found = []
    for ran, (chunk, trial) in enumerate(trials.items()):
        on_event(CandidateProgress(len(trials), ran, len(trials)))
        found.append(judge(trial.with_outcome(probe(trial.program)), copies[chunk]))
    return found


def evaluate(
    trial: Session,
    probe: RunProgram,
    copies: int,
    examples: Sequence[Assertion],
    generated: Sequence[Assertion] = (),
) -> Candidate:
    """The candidate of a session that has run, with the results of the assertions that call its functions.

    Names of earlier turns that it replaces are found as well.
    """
    names = functions(trial.path[-1].chunk)
    assertions = calling([*examples, *generated], names)
    replaced = find_replaced_names(trial, probe)
    if not assertions or trial.outcome is None or not trial.outcome.ok:
        return Candidate(trial, copies, replaced=replaced)
    program = trial.program
    number = len(trial.path) + 1
    outcome = probe(Program((*program.chunks, Chunk(number, checking_code(assertions)))))
    printed = outcome.outputs[-1] if len(outcome.outputs) > len(program.chunks) else ""
    results = read_results(printed, len(assertions))
    cut = len(calling(examples, names))
    asked = tuple(each.call for each in assertions)
    return Candidate(
        trial,
        copies,
        AssertionResults(results.given[:cut], results.passed[:cut], asked[:cut]),
        AssertionResults(results.given[cut:], results.passed[cut:], asked[cut:]),
        replaced,
    )
