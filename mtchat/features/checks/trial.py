"""Tries expressions on the live state and on states that differ a little, in a run that is discarded.

What an expression says shows in the states where it is false: one that is never false says nothing, and two
that agree on all states are taken for the same.
"""

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass

from mtchat.features.checks.evaluate import OPERATORS, setup_code
from mtchat.features.checks.inside import ERROR, FALSE, TRUE
from mtchat.generate.execute import RunProgram, never_ended
from mtchat.session.names import unparse
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program, parse_expression

ENDLESS = (float("inf"), float("-inf"))  # Python has no literal for them


@dataclass(frozen=True)
class Tried:
    """What came of an expression: `held` on the live state, `states` a letter for each state, that one first.

    `error` says how it fails there, `changes` that looking changed the state, and `steady` that it gave the
    same result twice.
    """

    states: str = ""
    error: str = ""
    changes: bool = False
    steady: bool = True

    @property
    def held(self) -> bool:
        return self.states.startswith(TRUE)

    @property
    def can_fail(self) -> bool:
        """Whether some state makes it false."""
        return FALSE in self.states


def try_expressions(program: Program, codes: Sequence[str], look: RunProgram) -> tuple[Tried, ...]:
    """What comes of each expression after a program; empty if the program does not get to its end.

    The states are the same for all expressions.
    """
    last = max((chunk.turn for chunk in program.chunks), default=0)
    outcome = look(Program((*program.chunks, Chunk(last + 1, trial_code(codes)))))
    if never_ended(outcome) or len(outcome.outputs) <= len(program.chunks):
        return ()
    return read_trials(outcome, len(codes))


def read_trials(outcome: Outcome, count: int) -> tuple[Tried, ...]:
    """One result for each expression; those that were not reached ended the program or took too long."""
    found = []
    for line in outcome.outputs[-1].splitlines()[:count]:
        try:
            found.append(Tried(**json.loads(line)))
        except (ValueError, TypeError):
            found.append(Tried(ERROR, "it prints"))
    why = f"it exceeded the {outcome.limit} limit" if outcome.limit else "it ends the program"
    return (*found, *[Tried(ERROR, why)] * (count - len(found)))


def trial_code(codes: Sequence[str]) -> str:
    """A chunk that prints one line of JSON for each expression."""
    constants = sorted({repr(each) for code in codes for each in constants_of(code)})
    asked = [(in_one(code), sorted(names_of(code))) for code in codes]
    pool = "[" + ", ".join(constants) + "]"
    return f"{setup_code()}\n__checks__['try_all'](globals(), {asked!r}, {pool})\n"


def in_one(code: str) -> str:
    """A check as one expression that compares as checks do, so that floats may differ by rounding."""
    value = parse_expression(code)
    match value:
        case ast.Compare(left, [relation], [right]) if type(relation) in OPERATORS:
            return f"(lambda a, b: {OPERATORS[type(relation)]})(({unparse(left)}), ({unparse(right)}))"
    return f"({code}\n)"


def constants_of(code: str) -> list[object]:
    value = parse_expression(code)
    nodes = ast.walk(value) if value else ()
    values = [each.value for each in nodes if isinstance(each, ast.Constant)]
    return [
        each
        for each in values
        if isinstance(each, int | float | str) and each == each and each not in ENDLESS
    ]


def names_of(code: str) -> frozenset[str]:
    value = parse_expression(code)
    nodes = ast.walk(value) if value else ()
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name))
