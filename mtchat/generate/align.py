"""Divides a program that was written at once among the steps that it answers, in their order.

Each statement goes to the step whose earlier code binds, changes or calls the same, or whose instruction has
the words of the statement and of the comment above it. Steps that nothing speaks for share the part of a
neighbour: a change, most often, which the part of what it changes already has.
"""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from mtchat.generate.judge.requirements import called, split_words
from mtchat.generate.prompt.program import drop_step_comments
from mtchat.session.names import compiles, names_of, parse_module, unparse
from mtchat.session.turn import Turn

SAME_NAME, SAME_CALL, SAME_WORDS, FIRST_NAMED = 4.0, 2.0, 2.0, 2.0  # what speaks for a step
NEW_STEP = 0.5  # what speaks for going on to a step that fits
LEAST_FIT = 0.75  # of one unit at least, or nothing speaks for a step
OWN = set(dir(builtins))


@dataclass(frozen=True)
class ProgramPart:
    """The code of the steps from `first` to `last`, counted from 1."""

    first: int
    last: int
    code: str


@dataclass(frozen=True)
class CodeActs:
    """What can be seen of code: names that it binds or changes, names that it reads, and what it calls."""

    names: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def acts_of(code: str) -> CodeActs:
    """What code does; nothing where it cannot be read."""
    found, module = names_of(code), parse_module(code) or ast.Module([], [])
    calls = set(called(module) - (OWN - {"print"}))
    items = set[str]()
    for node in (node for statement in module.body for node in ast.walk(statement)):
        match node:
            case ast.Call(ast.Attribute(attr=method)):
                calls.add(method)
            case ast.Subscript(value=ast.Name(), ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
                items.add(shorten_target(node))
    return CodeActs(found.binds | found.changes | items, found.reads, frozenset(calls))


def shorten_target(node: ast.Subscript | ast.Attribute) -> str:
    """What is assigned to, as text; "" where it is nested too deeply."""
    try:
        return unparse(node)
    except RecursionError:
        return ""


@dataclass(frozen=True)
class CodeUnit:
    """Top-level statements that share lines, with the comments above them: lines `start` to `end`, from 0."""

    start: int
    end: int
    code: str
    comments: str

    @cached_property
    def acts(self) -> CodeActs:
        return acts_of(self.code)

    @cached_property
    def words(self) -> frozenset[str]:
        return words_of(re.sub(r"\bdef\b", "def function", f"{self.comments}\n{self.code}"))


def words_of(text: str) -> frozenset[str]:
    """The words of a text, those within names included."""
    return split_words(text.replace("_", " "))


def divide(code: str, steps: Sequence[Turn]) -> tuple[ProgramPart, ...]:
    """The parts of a program, of which each has one or more of the steps.

    Joined, they have the lines of the program in their order, without blank lines between them.
    """
    units = read_units(code)
    places = None if "__future__" in code else places_in(units, steps)
    if places is not None:
        found = tuple(parts_of_program(code, units, places, steps))
        if all(compiles(each.code) for each in found):
            return found
    return (whole_program(code, steps),)


def whole_program(code: str, steps: Sequence[Turn]) -> ProgramPart:
    """A program as the one part of all steps."""
    return ProgramPart(1, len(steps), trim(code))


def part_for(code: str, steps: Sequence[Turn], first: int, last: int) -> str:
    """The part of a program that has the steps from `first` to `last`; "" if it has no such part."""
    parts = (whole_program(code, steps), *divide(code, steps))
    found = next((each.code for each in parts if (each.first, each.last) == (first, last)), "")
    return drop_numbers(found, steps)


def drop_numbers(code: str, steps: Sequence[Turn]) -> str:
    """The code of a part without comments that number the steps of the program and repeat them."""
    return trim(drop_step_comments(code, [turn.full_instruction for turn in steps]))


def read_units(code: str) -> tuple[CodeUnit, ...]:
    """The top-level statements of a program; none if it cannot be read."""
    module = parse_module(code)
    if module is None:
        return ()
    lines = code.split("\n")
    spans: list[tuple[int, int]] = []
    for node in module.body:
        above = [each.lineno for each in getattr(node, "decorator_list", [])]
        first, last = min([node.lineno, *above]) - 1, (node.end_lineno or node.lineno) - 1
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    units = []
    free = 0
    for first, last in spans:
        text = "\n".join(lines[first : last + 1])
        units.append(CodeUnit(free, last, text, "\n".join(lines[free:first])))
        free = last + 1
    return tuple(units)


def trim(code: str) -> str:
    """Code without blank lines at its beginning and end."""
    lines = code.split("\n")
    there = [place for place, line in enumerate(lines) if line.strip()]
    return "\n".join(lines[there[0] : there[-1] + 1]) if there else ""


def places_in(units: Sequence[CodeUnit], steps: Sequence[Turn]) -> list[int] | None:
    """The step of each unit, in order, so that units and steps fit best; None if fewer than two steps fit.

    Dynamic programming over units and steps; a step that nothing speaks for gets no unit.
    """
    if len(units) < 2 or len(steps) < 2:
        return None
    fits = fits_of(units, steps)
    best = [[0.0] * len(steps) for _ in units]
    came = [[0] * len(steps) for _ in units]
    for row, scores in enumerate(fits):
        for at, score in enumerate(scores):
            before = best[row - 1][: at + 1] if row else [0.0]
            new = NEW_STEP if row and score >= LEAST_FIT else 0
            before = [each + new * (place < at) for place, each in enumerate(before)]
            came[row][at] = max(range(len(before)), key=lambda place: (before[place], place))
            best[row][at] = score + before[came[row][at]]
    at = max(range(len(steps)), key=lambda place: (best[-1][place], place))
    places = [0] * len(units)
    for row in range(len(units) - 1, -1, -1):
        places[row] = at + 1
        at = came[row][at]
    spoken_for = {place for row, place in enumerate(places) if fits[row][place - 1] >= LEAST_FIT}
    if len(spoken_for) < 2:
        return None
    last = min(spoken_for)
    for row, place in enumerate(places):
        last = place if place in spoken_for else last
        places[row] = last
    return places


def fits_of(units: Sequence[CodeUnit], steps: Sequence[Turn]) -> list[list[float]]:
    """How much speaks for each unit being code for each step: its names, its calls, and its words.

    A word that fewer steps have says more, and the first unit that binds a name is for the first step that
    mentions it.
    """
    asked = [words_of(step.full_instruction) for step in steps]
    steps_with = Counter(word for words in asked for word in words)

    def weigh(words: Iterable[str]) -> float:
        return sum(1 / steps_with[word] for word in sorted(words))  # in one order, so that the sum is one

    def fit(unit: CodeUnit, step: Turn, wish: frozenset[str]) -> float:
        old, heard = acts_of(step.chunk), weigh(unit.words & steps_with.keys())
        return (
            SAME_NAME * len(unit.acts.names & old.names)
            + SAME_CALL * len(unit.acts.calls & old.calls)
            + (SAME_WORDS * weigh(unit.words & wish) / heard if heard else 0)
        )

    fits = [[fit(unit, step, wish) for step, wish in zip(steps, asked, strict=True)] for unit in units]
    bound = set[str]()
    for row, unit in enumerate(units):
        for name in unit.acts.names - bound:
            mention = re.compile(rf"\b{re.escape(name)}\b")
            first = next((at for at, step in enumerate(steps) if mention.search(step.full_instruction)), None)
            if first is not None:
                fits[row][first] += FIRST_NAMED
        bound |= unit.acts.names
    return move_preparations(fits, units, steps, frozenset(steps_with))


def move_preparations(
    fits: list[list[float]], units: Sequence[CodeUnit], steps: Sequence[Turn], asked: frozenset[str]
) -> list[list[float]]:
    """The fits, where a unit that no step speaks of fits as the first unit does that reads its names."""
    known = [acts_of(step.chunk) for step in steps]
    moved = list(fits)
    for row in range(len(units) - 1, -1, -1):
        acts = units[row].acts
        said = words_of(" ".join([*acts.names, units[row].comments])) & asked
        if not said and not any(acts.names & each.names or acts.calls & each.calls for each in known):
            readers = (at for at in range(row + 1, len(units)) if acts.names & units[at].acts.reads)
            moved[row] = moved[next(readers, row)]
    return moved


def parts_of_program(
    code: str, units: Sequence[CodeUnit], places: Sequence[int], steps: Sequence[Turn]
) -> Iterator[ProgramPart]:
    """The parts, where `places` has the step of each unit."""
    lines = code.split("\n")
    for first, last in groups(units, places, steps):
        mine = [unit for unit, place in zip(units, places, strict=True) if first <= place <= last]
        end = len(lines) if mine[-1] is units[-1] else mine[-1].end + 1
        yield ProgramPart(first, last, trim("\n".join(lines[mine[0].start : end])))


def groups(units: Sequence[CodeUnit], places: Sequence[int], steps: Sequence[Turn]) -> list[tuple[int, int]]:
    """The first and last step of each part: every one with units, and the steps without any beside it.

    A step without units goes with the neighbour that has more of its names, or else with the one before.
    """
    there = sorted(set(places))
    binds = {
        step: frozenset[str]().union(
            *(unit.acts.names for unit, place in zip(units, places, strict=True) if place == step)
        )
        for step in there
    }
    ends = []
    for left, right in pairwise(there):
        end = left
        for step in range(left + 1, right):
            names = acts_of(steps[step - 1].chunk).names
            if len(names & binds[right]) > len(names & binds[left]):
                break
            end = step
        ends.append(end)
    starts = [1, *(end + 1 for end in ends)]
    return list(zip(starts, [*ends, len(steps)], strict=True))
