"""What an instruction can mean: candidates that do the same are one reading, told by what it does.

Asking which one is meant: TiCoder (Lahiri et al. 2022, arXiv:2208.05950), ClarifyGPT (Mu et al. 2023,
arXiv:2310.10996).
"""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtchat.generate.arbitrary import (
    ArbitraryParts,
    arbitrary_parts,
    same_but_numbers,
    without_addresses,
    without_identity,
)
from mtchat.generate.generated_tests import functions, literal
from mtchat.generate.select import Candidate, normalised_text, normalised_word
from mtchat.session.names import parse_module
from mtchat.session.outcome import Variable
from mtchat.session.session import Session

MOST_OFFERED = 4  # readings that are offered at once
LONGEST_VALUE_SHOWN = 60  # characters of a value that is shown
COMPARABLE_SHARE = 0.5  # the weight of the second reading against the first's, from which on it is asked
GENERATED_CALLS = 3  # made up to tell functions apart, where the user can be asked


@dataclass(frozen=True)
class Interpretation:
    """Candidates that do the same: the likeliest of them, how many they are, and their share by weight.

    `told` is what it does that others do not, in a few words.
    """

    candidate: Candidate
    count: int
    share: float
    told: str = ""


@dataclass(frozen=True)
class Clarification:
    """How a user is asked which reading of an instruction is meant, and how close they must be for that.

    The answer is the place of a reading, or what was meant in the user's own words; None leaves the choice
    to the tool. With `always` candidates are drawn for every turn.
    """

    ask: Callable[[str, Sequence[Interpretation]], int | str | None]
    comparable: float = COMPARABLE_SHARE
    always: bool = False


@dataclass(frozen=True)
class Alternatives:
    """A session with so many tries for its last turn beside it, and what they do."""

    session: Session
    interpretations: tuple[Interpretation, ...]


def interpret(candidates: Sequence[Candidate]) -> tuple[Interpretation, ...]:
    """The different things that candidates do; first those with the fewest faults, then the weightiest."""
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
    """The readings to ask about: working ones of comparable weight; none where one is clearly the likeliest.

    Two readings that cannot be told apart in words are no question; neither is which data is made up, what
    is left of a loop, how an object shows itself, nor how what is printed is worded.
    """
    if not found or found[0].candidate.faults == 2:
        return ()
    best = found[0]
    if not asking.always and only_data(best.candidate.turn.chunk):
        return ()
    least = (best.candidate.faults, best.candidate.unmet_requirements)
    rivals: list[Interpretation] = []
    for each in found:
        candidate = each.candidate
        near = each.share >= asking.comparable * best.share
        if (candidate.faults, candidate.unmet_requirements) != least or not near:
            continue
        if asking.always or not any(alike(candidate, other.candidate) for other in rivals):
            rivals.append(each)
    told = rivals if asking.always else summarise(rivals, undecided([each.candidate for each in rivals]))
    kept = list({each.told: each for each in reversed(told)}.values())[::-1][:MOST_OFFERED]
    return tuple(kept) if len(kept) > 1 else ()


def alike(one: Candidate, other: Candidate) -> bool:
    """Whether nothing that an instruction could decide sets two candidates apart."""
    if worded_otherwise(one, other) or same_but_numbers(one.turn.chunk, other.turn.chunk):
        return True
    free = undecided([one, other])
    printed = any(made_up_by(each).printed for each in (one, other))
    if not printed and without_addresses(one.shows) != without_addresses(other.shows):
        return False
    if (one.told.given, one.made.given) != (other.told.given, other.made.given):
        return False
    left, right = ({each.name: each for each in side.seen} for side in (one, other))
    return all(same_value(left[name], right[name]) for name in left.keys() & right.keys() - free)


def undecided(candidates: Sequence[Candidate]) -> frozenset[str]:
    """The names whose values decide nothing about what is meant: made-up data, and what loops leave."""
    free = map(made_up_by, candidates)
    return frozenset(name for each in free for name in each.names | each.loops)


def made_up_by(candidate: Candidate) -> ArbitraryParts:
    turn = candidate.turn
    return arbitrary_parts(turn.chunk, candidate.session.undo().program.source, turn.instruction)


def same_value(one: Variable, other: Variable) -> bool:
    """Whether two variables hold the same, however it is held: a list or an array, 5 or 5.0."""
    first, second = (normalised_text(without_identity(value(each))) for each in (one, other))
    if first == second:
        return True
    return one.kind != other.kind and bool(one.shape) and rows(one) == rows(other)


def rows(variable: Variable) -> str:
    return variable.shape.split(" x ")[0]


def worded_otherwise(one: Candidate, other: Candidate) -> bool:
    """Whether two print the same, one with more words around it, or numbers and lists written otherwise."""
    if not one.shows or not other.shows:
        return False
    if one.ends_like(other) or other.ends_like(one):
        return True
    return numbers(one.shows) == numbers(other.shows) != []


def numbers(shown: str) -> list[str]:
    """The numbers among the words of what is shown."""
    return [normalised_word(word) for word in re.findall(r"-?\d+(?:\.\d+)?", shown)]


def only_data(chunk: str) -> bool:
    """Whether a chunk does nothing but give names to values that it spells out."""
    module = parse_module(chunk)
    return module is not None and all(
        isinstance(each, ast.Assign) and literal(each.value) for each in module.body
    )


def summarise(
    found: Sequence[Interpretation], free: frozenset[str] = frozenset()
) -> tuple[Interpretation, ...]:
    """Readings with what each of them does that not all of them do; of names in `free` nothing is said."""
    shown = [printed(each.candidate) for each in found]
    values = [{each.name: each for each in reading.candidate.seen} for reading in found]
    names = [
        name
        for name in dict.fromkeys(name for each in values for name in each)
        if name not in free and len({value(each.get(name)) for each in values}) > 1
    ]
    calls = differing_calls(found)
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
    """What one reading does: its error, what it prints, what its functions give, the variables it leaves."""
    candidate = reading.candidate
    if error := failure(candidate):
        return [f"fails: {error}"]
    given = (*candidate.told.given, *candidate.made.given)
    asked = (*candidate.told.asked, *candidate.made.asked)
    said = [f"{asked[place]} gives {short(given[place])}" for place in calls if place < len(given)]
    made = [f"{name} is {short(value(known[name]))}" for name in names if name in known]
    if not shown and not said and not made:
        defined = functions(candidate.turn.chunk)
        return [f"defines {' and '.join(defined)}" if defined else "prints nothing"]
    return [*([f"prints {shown}"] if shown else []), *said, *made][:3]


def differing_calls(found: Sequence[Interpretation]) -> list[int]:
    """The places of the calls that do not give the same in all readings that work."""
    given = [
        (*each.candidate.told.given, *each.candidate.made.given)
        for each in found
        if not failure(each.candidate)
    ]
    most = max(map(len, given), default=0)
    return [place for place in range(most) if len({each[place : place + 1] for each in given}) > 1]


def failure(candidate: Candidate) -> str:
    """The error of a candidate in a few words, "" where it works."""
    outcome = candidate.session.outcome
    if outcome is None or outcome.ok:
        return ""
    return short(outcome.error.split(": ", 1)[-1] or outcome.limit)


def printed(candidate: Candidate) -> str:
    """What the turn prints, on one line."""
    outcome = candidate.session.outcome
    text = outcome.outputs[-1].strip() if outcome and outcome.ok and outcome.outputs else ""
    return short(" ⏎ ".join(text.splitlines()))


def value(variable: Variable | None) -> str:
    if variable is None:
        return ""
    return variable.value or " ".join(filter(None, [variable.kind, variable.shape]))


def short(text: str) -> str:
    """A text without its middle where it is long."""
    half = LONGEST_VALUE_SHOWN // 2
    return text if len(text) <= LONGEST_VALUE_SHOWN else f"{text[:half]} … {text[-half + 3 :]}"
