"""Finds durations measured from a time taken in an earlier turn: they include the user's thinking time."""

import ast
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache

from mtchat.session.program import Program

CLOCKS = {
    *("time", "perf_counter", "monotonic", "default_timer", "now", "utcnow"),
    *("time_ns", "perf_counter_ns", "monotonic_ns"),
}


def clock_note(program: Program, resumed: int) -> str:
    """A note if chunks after the first `resumed` measure from a time taken in one of those; "" if not."""
    noted: dict[str, int] = {}
    for chunk in program.chunks[:resumed]:
        bound, kept, _ = find_clock_names(chunk.code)
        noted = {name: turn for name, turn in noted.items() if name not in kept}
        noted |= dict.fromkeys(bound, chunk.turn)
    for chunk in program.chunks[resumed:]:
        used = find_clock_names(chunk.code)[2]
        for name in sorted(used & noted.keys()):
            turn = program.label(noted[name])
            measured = "durations measured from it include the time between the turns"
            return f"{name} holds a time from {turn}: {measured}"
    return ""


@lru_cache(maxsize=256)
def find_clock_names(source: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names bound to a clock reading, all names bound, and names subtracted in code that reads a clock."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset(), frozenset(), frozenset()
    noted = frozenset(clock_targets(nodes))
    bound = frozenset(each.id for each in nodes if isinstance(each, ast.Name) and is_store(each))
    if not any(is_clock(node) for node in nodes):
        return noted, bound, frozenset()
    sides = [
        side
        for node in nodes
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
        for side in (node.left, node.right)
    ]
    used = frozenset(side.id for side in sides if isinstance(side, ast.Name))
    return noted, bound, used - noted


def clock_targets(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Assign) and is_clock(node.value):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif (
            isinstance(node, ast.AnnAssign | ast.NamedExpr)
            and isinstance(node.target, ast.Name)
            and node.value is not None
            and is_clock(node.value)
        ):
            yield node.target.id


def is_clock(node: ast.AST) -> bool:
    """Whether an expression reads a clock: time.time(), perf_counter(), datetime.now()."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in CLOCKS


def is_store(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
