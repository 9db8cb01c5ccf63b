"""Evaluates checks: each in the state after its turn, in a trial run whose effects are discarded."""

import ast
import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import groupby

from mtchat.errors import SandboxError
from mtchat.features.checks import inside
from mtchat.generate.execute import RunProgram, never_ended
from mtchat.session.names import bound_names, unparse
from mtchat.session.outcome import Outcome
from mtchat.session.program import Check, CheckResult, Chunk, Program, describe_operand, parse_expression

OPERATORS = {
    ast.Eq: "__checks__['same'](a, b)",
    ast.NotEq: "not __checks__['same'](a, b)",
    ast.Lt: "a < b",
    ast.LtE: "a <= b",
    ast.Gt: "a > b",
    ast.GtE: "a >= b",
    ast.Is: "a is b",
    ast.IsNot: "a is not b",
    ast.In: "a in b",
    ast.NotIn: "a not in b",
}
LIMITS = {"seconds": "time", "cpu": "CPU time"}
MOST_NAMES = 3  # reported for a check that is not a comparison


def with_checks(run: RunProgram, look: RunProgram) -> RunProgram:
    """A runner that also evaluates checks; `look` runs programs for trial."""
    return lambda program: evaluate_checks(program, run(program), look)


def evaluate_checks(program: Program, outcome: Outcome, look: RunProgram) -> Outcome:
    """The outcome with the results of the program's checks, if the program was run at all.

    Each check works on a copy of the state after its turn, so its side effects are discarded.
    """
    if not program.checks or never_ended(outcome):
        return replace(outcome, check_results=())
    reached = outcome.outputs if outcome.ok else outcome.outputs[:-1]
    done = {chunk.turn for chunk, _ in zip(program.chunks, reached, strict=False)}
    found: list[CheckResult] = []
    for at, group in groupby(sorted(program.checks, key=lambda each: each.at), key=lambda each: each.at):
        checks = tuple(group)
        found += (
            evaluate_group(program, checks, look)
            if at in done
            else mark_unknown(checks, reason_not_reached(outcome))
        )
    return replace(outcome, check_results=tuple(sorted(found, key=lambda each: each.turn)))


def reason_not_reached(outcome: Outcome) -> str:
    return f"turn {outcome.turn} fails first" if outcome.turn else "the program did not get that far"


def mark_unknown(checks: Sequence[Check], why: str) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(each.turn, each.code, None, why) for each in checks)


def evaluate_group(program: Program, checks: Sequence[Check], look: RunProgram) -> tuple[CheckResult, ...]:
    """The results of the checks of one turn."""
    at = checks[0].at
    before = tuple(chunk for chunk in program.chunks if chunk.turn <= at)
    known = bound_names(Program(before).source)
    try:
        outcome = look(Program((*before, Chunk(at + 1, probe_code(checks)))))
    except SandboxError as error:
        return mark_unknown(checks, str(error))
    if never_ended(outcome):
        return mark_unknown(checks, "the check was interrupted")
    if len(outcome.outputs) <= len(before):
        return mark_unknown(
            checks, f"running the program up to that turn again failed: {outcome.error or outcome.limit}"
        )
    lines = outcome.outputs[-1].splitlines()
    why = (
        f"it exceeded the {LIMITS.get(outcome.limit, outcome.limit)} limit"
        if outcome.limit
        else "it ends the program"
    )
    return tuple(
        read_result(check, lines[place] if place < len(lines) else "", why, known)
        for place, check in enumerate(checks)
    )


def read_result(check: Check, line: str, why: str, known: frozenset[str]) -> CheckResult:
    """The result of a check, read from one line of output of the trial run."""
    try:
        reported = json.loads(line)
        passed, error, values = (
            reported["passed"] is True,
            str(reported["error"]),
            [str(each) for each in reported["values"]],
        )
        missing = str(reported["missing"])
    except (ValueError, TypeError, KeyError):
        return CheckResult(check.turn, check.code, False, why)
    if passed:
        return CheckResult(check.turn, check.code, True)
    if missing:
        near = get_close_matches(missing, known, n=1)
        error = f"{missing} is not defined" + (f" (did you mean {near[0]}?)" if near else "")
    return CheckResult(check.turn, check.code, False, error or describe_actual(check.code, values))


def describe_actual(code: str, values: Sequence[str]) -> str:
    """What is true instead when a check fails: "total is 40"."""
    shown = [
        f"{side_name(label)} is {case}"
        for label, case in zip(reported_parts(code), values, strict=False)
        if case and label != case and not is_literal(label)
    ]
    return " and ".join(shown) or "it does not"


def side_name(label: str) -> str:
    value = parse_expression(label)
    return describe_operand(value) if value else label


def reported_parts(code: str) -> tuple[str, ...]:
    """The parts whose values are reported: the sides of a comparison, else the names in the check."""
    value = parse_expression(code)
    match value:
        case ast.Compare(left, [relation], [right]) if type(relation) in OPERATORS:
            return unparse(left), unparse(right)
        case ast.UnaryOp(ast.Not(), ast.Name() | ast.Call() as inner):
            return (unparse(inner),)
        case ast.Call():
            return (unparse(value),)
    return tuple(dict.fromkeys(names_read(value)))[:MOST_NAMES] if value else ()


def names_read(value: ast.expr) -> Iterator[str]:
    """The names that an expression reads and does not just call."""
    functions = {id(node.func) for node in ast.walk(value) if isinstance(node, ast.Call)}
    own = {
        node.id for node in ast.walk(value) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(value):
        if isinstance(node, ast.Name) and id(node) not in functions and node.id not in own:
            yield node.id


def is_literal(code: str) -> bool:
    try:
        ast.literal_eval(code)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def probe_code(checks: Sequence[Check]) -> str:
    """A chunk that prints one line of JSON for each check: whether it holds, and the values."""
    listed = "\n".join(f"__checks__['look']({look_arguments(check.code)})" for check in checks)
    return f"{setup_code()}\n{listed}\n"


def setup_code() -> str:
    """A line that makes the functions of a trial run, in a namespace of their own."""
    return f"exec({inspect.getsource(inside)!r}, __checks__ := {{}})"


def look_arguments(code: str) -> str:
    """The arguments of `look` for a check: what to evaluate, what must hold, what to report."""
    value = parse_expression(code)
    match value:
        case ast.Compare(left, [relation], [right]) if type(relation) in OPERATORS:
            sides = f"[lambda: ({unparse(left)}), lambda: ({unparse(right)})]"
            return f"{sides}, lambda a, b: {OPERATORS[type(relation)]}, None"
    reported = ", ".join(f"lambda: ({part})" for part in reported_parts(code))
    return f"[lambda: ({code}\n)], lambda a: a, [{reported}]"
