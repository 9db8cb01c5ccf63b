"""What an instruction can mean: candidates that behave the same are one interpretation.

Asking the user which one is meant: TiCoder (Lahiri et al. 2022, arXiv:2208.05950), ClarifyGPT (Mu et al.
2023, arXiv:2310.10996).
"""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtchat.generate.generated_tests import functions, literal
from mtchat.generate.judge.arbitrary import (
    ArbitraryParts,
    arbitrary_parts,
    same_but_numbers,
    without_addresses,
    without_identity,
)
from mtchat.generate.select import Candidate, normalised_text, normalised_word
from mtchat.session.names import parse_module
from mtchat.session.outcome import Variable
from mtchat.session.session import Session

MOST_OFFERED = 4  # interpretations that are offered at once
LONGEST_VALUE_SHOWN = 60  # characters of a value in a description
COMPARABLE_SHARE = (
    0.5  # the weight of an interpretation, relative to the heaviest, from which on it is offered
)
GENERATED_CALLS = 3  # assertions written to tell functions apart if the user can be asked


@dataclass(frozen=True)
class Interpretation:
    """Candidates that behave the same: the likeliest of them, their number, and their weighted share.

    `summary` describes in a few words what it does that others do not.
    """

    candidate: Candidate
    count: int
    share: float
    summary: str = ""


@dataclass(frozen=True)
class Clarification:
    """How the user is asked which interpretation is meant, and how close interpretations must be for that.

    The answer is the index of an interpretation, or what was meant in the user's own words; None leaves the
    choice to mtchat. With `always`, candidates are drawn for every turn.
    """

    ask: Callable[[str, Sequence[Interpretation]], int | str | None]
    comparable: float = COMPARABLE_SHARE
    always: bool = False


@dataclass(frozen=True)
class Alternatives:
    """A session with alternatives to its last turn as branches, and how these behave."""

    session: Session
    interpretations: tuple[Interpretation, ...]


def interpret(candidates: Sequence[Candidate]) -> tuple[Interpretation, ...]:
    """The interpretations that candidates show: those with the fewest faults first, then the heaviest."""
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for each in candidates:
        groups.setdefault((each.faults, each.unmet_requirements, failure(each), *each.behaviour), []).append(
            each
        )
    total = sum(map(weight, candidates)) or 1.0
    found = [
        Interpretation(
            max(group, key=lambda each: each.likelihood),
            sum(each.copies for each in group),
            sum(map(weight, group)) / total,
        )
        for group in groups.values()
    ]
    found.sort(key=lambda each: (each.candidate.faults, each.candidate.unmet_requirements, -each.share))
    return summarise(found)


def weight(candidate: Candidate) -> float:
    return candidate.copies * candidate.likelihood


def ask_about(found: Sequence[Interpretation], asking: Clarification) -> tuple[Interpretation, ...]:
    """The interpretations to ask about: working ones of comparable weight; none if one clearly dominates.

    Differences that the instruction does not decide are not asked about: invented data, variables left over
    from a loop, the representation of an object, the wording of output.
    """
    if not found or found[0].candidate.faults == 2:
        return ()
    best = found[0]
    if not asking.always and is_only_data(best.candidate.turn.chunk):
        return ()
    least = (best.candidate.faults, best.candidate.unmet_requirements)
    rivals: list[Interpretation] = []
    for each in found:
        candidate = each.candidate
        near = each.share >= asking.comparable * best.share
        if (candidate.faults, candidate.unmet_requirements) != least or not near:
            continue
        if asking.always or not any(are_equivalent(candidate, other.candidate) for other in rivals):
            rivals.append(each)
    described = (
        rivals if asking.always else summarise(rivals, undecided_names([each.candidate for each in rivals]))
    )
    kept = list({each.summary: each for each in reversed(described)}.values())[::-1][:MOST_OFFERED]
    return tuple(kept) if len(kept) > 1 else ()


def are_equivalent(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates differ in nothing that an instruction could decide."""
    if same_but_wording(one, other) or same_but_numbers(one.turn.chunk, other.turn.chunk):
        return True
    free = undecided_names([one, other])
    printed = any(arbitrary_parts_of(each).printed for each in (one, other))
    if not printed and without_addresses(one.shows) != without_addresses(other.shows):
        return False
    if (one.examples.given, one.generated.given) != (other.examples.given, other.generated.given):
        return False
    left, right = ({each.name: each for each in side.seen} for side in (one, other))
    return all(same_value(left[name], right[name]) for name in left.keys() & right.keys() - free)


def undecided_names(candidates: Sequence[Candidate]) -> frozenset[str]:
    """The names whose values say nothing about what is meant: invented data and loop variables."""
    free = map(arbitrary_parts_of, candidates)
    return frozenset(name for each in free for name in each.names | each.loops)


def arbitrary_parts_of(candidate: Candidate) -> ArbitraryParts:
    turn = candidate.turn
    return arbitrary_parts(turn.chunk, candidate.session.undo().program.source, turn.instruction)


def same_value(one: Variable, other: Variable) -> bool:
    """Whether two variables have the same value in any form: a list or an array, 5 or 5.0."""
    first, second = (normalised_text(without_identity(value(each))) for each in (one, other))
    if first == second:
        return True
    return one.kind != other.kind and bool(one.shape) and rows(one) == rows(other)


def rows(variable: Variable) -> str:
    return variable.shape.split(" x ")[0]


def same_but_wording(one: Candidate, other: Candidate) -> bool:
    """Whether two outputs are the same but for words around them, or the notation of numbers and lists."""
    if not one.shows or not other.shows:
        return False
    if one.ends_like(other) or other.ends_like(one):
        return True
    return numbers(one.shows) == numbers(other.shows) != []


def numbers(shown: str) -> list[str]:
    """The numbers in an output."""
    return [normalised_word(word) for word in re.findall(r"-?\d+(?:\.\d+)?", shown)]


def is_only_data(chunk: str) -> bool:
    """Whether a chunk only assigns literal values to names."""
    module = parse_module(chunk)
    return module is not None and all(
        isinstance(each, ast.Assign) and literal(each.value) for each in module.body
    )


def summarise(
    found: Sequence[Interpretation], free: frozenset[str] = frozenset()
) -> tuple[Interpretation, ...]:
    """Interpretations, each described by what not all of them do; names in `free` are left out."""
    shown = [printed(each.candidate) for each in found]
    values = [{each.name: each for each in reading.candidate.seen} for reading in found]
    names = [
        name
        for name in dict.fromkeys(name for each in values for name in each)
        if name not in free and len({value(each.get(name)) for each in values}) > 1
    ]
    calls = find_differing_calls(found)
    return tuple(
        Interpretation(
            each.candidate, each.count, each.share, ", ".join(parts(each, text, known, names, calls))
        )
        for each, text, known in zip(found, shown, values, strict=True)
    )


def parts(
    reading: Interpretation,
    shown: str,
    known: dict[str, Variable],
    names: Sequence[str],
    calls: Sequence[int],
) -> list[str]:
    """The parts of a description: error, output, results of calls, variables."""
    candidate = reading.candidate
    if error := failure(candidate):
        return [f"fails: {error}"]
    given = (*candidate.examples.given, *candidate.generated.given)
    asked = (*candidate.examples.asked, *candidate.generated.asked)
    said = [f"{asked[place]} gives {shorten(given[place])}" for place in calls if place < len(given)]
    made = [f"{name} is {shorten(value(known[name]))}" for name in names if name in known]
    if not shown and not said and not made:
        defined = functions(candidate.turn.chunk)
        return [f"defines {' and '.join(defined)}" if defined else "prints nothing"]
    return [*([f"prints {shown}"] if shown else []), *said, *made][:3]


def find_differing_calls(found: Sequence[Interpretation]) -> list[int]:
    """The indices of the calls whose results differ between working interpretations."""
    given = [
        (*each.candidate.examples.given, *each.candidate.generated.given)
        for each in found
        if not failure(each.candidate)
    ]
    most = max(map(len, given), default=0)
    return [place for place in range(most) if len({each[place : place + 1] for each in given}) > 1]


def failure(candidate: Candidate) -> str:
    """The error of a candidate in a few words, "" if it works."""
    outcome = candidate.session.outcome
    if outcome is None or outcome.ok:
        return ""
    return shorten(outcome.error.split(": ", 1)[-1] or outcome.limit)


def printed(candidate: Candidate) -> str:
    """What the turn prints, on one line."""
    outcome = candidate.session.outcome
    text = outcome.outputs[-1].strip() if outcome and outcome.ok and outcome.outputs else ""
    return shorten(" ⏎ ".join(text.splitlines()))


def value(variable: Variable | None) -> str:
    if variable is None:
        return ""
    return variable.value or " ".join(filter(None, [variable.kind, variable.shape]))


def shorten(text: str) -> str:
    """A text, shortened in the middle if it is long."""
    half = LONGEST_VALUE_SHOWN // 2
    return text if len(text) <= LONGEST_VALUE_SHOWN else f"{text[:half]} … {text[-half + 3 :]}"
