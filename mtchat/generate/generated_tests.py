"""Assertions about functions, from an instruction or written by the model, as code to run.

Assertions that the model writes may be wrong; they only show which candidates agree with each other and with
them: CodeT (Chen et al. 2022, arXiv:2207.10397).
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from mtchat.session.names import parse_module, unparse

TYPED = re.compile(r"^[ \t]*>>> (?P<call>.+)\n[ \t]*(?P<value>(?!>>>).+)$", re.MULTILINE)
CALL = re.compile(r"\b[A-Za-z_]\w*\(")
EQUALS = re.compile(r"\s*(?:==|=>|->|=|➞|returns|gives|should\s+(?:return|be|give))\s*")
MOST_ASSERTIONS = 12  # of one turn
LONGEST_ASSERTION, LONGEST_VALUE = 400, 160  # characters of a call with its value, and of a value
END = re.compile(r"\s*(?:$|[.,;)\]](?:\s|$)|(?:and|or|while|but|since|because)\b)")
PASSES, FAILS = "True", "False"


@dataclass(frozen=True)
class Assertion:
    """A call of a function and the value it should return, both as expressions."""

    call: str
    value: str


@dataclass(frozen=True)
class AssertionResults:
    """Results of assertions: for each the value returned, whether it is the expected one, and the call."""

    given: tuple[str, ...] = ()
    passed: tuple[bool, ...] = ()
    asked: tuple[str, ...] = ()


def assertions_in(instruction: str) -> tuple[Assertion, ...]:
    """The assertions in an instruction: assert statements, interpreter sessions, f(1) = 2 in a sentence."""
    try:
        found = dict.fromkeys(
            [*assert_statements(instruction), *interpreter_sessions(instruction), *equations(instruction)]
        )
    except RecursionError:  # of an expression that is nested too deeply to unparse
        return ()
    return tuple(each for each in found if can_stand(each))[:MOST_ASSERTIONS]


def can_stand(check: Assertion) -> bool:
    """Whether an assertion is valid in a program beside others."""
    return parse_module(f"lambda: ({check.call}, {check.value})") is not None and "await" not in check.call


def assert_statements(text: str) -> Iterator[Assertion]:
    """The assertions among the lines of a text that compare a call with a value."""
    for line in text.splitlines():
        module = parse_module(line.strip())
        for statement in module.body if module else ():
            match statement:
                case ast.Assert(ast.Compare(ast.Call() as call, [ast.Eq()], [value])):
                    yield Assertion(unparse(call), unparse(value))
                case ast.Assert(ast.Compare(value, [ast.Eq()], [ast.Call() as call])) if literal(value):
                    yield Assertion(unparse(call), unparse(value))
                case ast.Assert(ast.Call() as call):
                    yield Assertion(f"bool({unparse(call)})", "True")
                case ast.Assert(ast.UnaryOp(ast.Not(), ast.Call() as call)):
                    yield Assertion(f"bool({unparse(call)})", "False")


def interpreter_sessions(text: str) -> Iterator[Assertion]:
    """Calls at an interpreter's prompt with the answer in the next line."""
    for match in TYPED.finditer(text):
        call, value = parsed_expression(match["call"]), parsed_expression(match["value"])
        if isinstance(call, ast.Call) and value is not None and literal(value):
            yield Assertion(unparse(call), unparse(value))


def equations(text: str) -> Iterator[Assertion]:
    """Calls in a sentence that are stated to equal a value."""
    for match in islice(CALL.finditer(text), 4 * MOST_ASSERTIONS):
        rest = text[match.start() : match.start() + LONGEST_ASSERTION]
        for end in (place + 1 for place, letter in enumerate(rest) if letter == ")"):
            call = parsed_expression(rest[:end])
            if not isinstance(call, ast.Call):
                continue
            equals = EQUALS.match(rest, end)
            value = leading_value(rest[equals.end() :]) if equals and simple(call) else None
            if value is not None:
                yield Assertion(unparse(call), value)
            break


def leading_value(text: str) -> str | None:
    """The longest complete literal at the beginning of a text's first line."""
    line = text.split("\n")[0][:LONGEST_VALUE]
    for end in range(len(line), 0, -1):
        if not END.match(line, end):
            continue
        value = parsed_expression(line[:end].strip().rstrip(".,;"))
        if value is not None and literal(value):
            return unparse(value)
    return None


def simple(call: ast.Call) -> bool:
    """Whether all arguments of a call are literals: f(x) = 3 is a definition and no call."""
    return all(map(literal, [*call.args, *(each.value for each in call.keywords)]))


def literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def parsed_expression(code: str) -> ast.expr | None:
    module = parse_module(code.strip())
    match module.body if module else []:
        case [ast.Expr(value)]:
            return value
    return None


def functions(code: str) -> tuple[str, ...]:
    """The names of the functions that a chunk defines at its top level."""
    module = parse_module(code)
    body = module.body if module else []
    return tuple(each.name for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def calling(checks: Sequence[Assertion], names: Sequence[str]) -> tuple[Assertion, ...]:
    """The assertions that call one of some functions."""
    return tuple(
        check
        for check in checks
        if any(
            isinstance(node, ast.Name) and node.id in names
            for node in ast.walk(ast.parse(check.call, mode="eval"))
        )
    )


def checking_code(checks: Sequence[Assertion]) -> str:
    """A program that prints two lines per assertion: the value returned, and whether it is as expected."""
    pairs = [(f"lambda: {check.call}", f"lambda: {check.value}") for check in checks]
    listed = ", ".join(f"({call}, {value})" for call, value in pairs)
    return PROGRAM.format(checks=listed)


PROGRAM = """\
def __check__(call, value):
    import contextlib, io, math
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            given = call()
            told = repr(given)[:300].replace("\\n", " ")
    except BaseException as error:
        return type(error).__name__, False
    try:  # the value may use what this program does not have
        with contextlib.redirect_stdout(io.StringIO()):
            wanted = value()
            same = given == wanted
            if isinstance(given, float) and isinstance(wanted, (int, float)):
                same = math.isclose(given, wanted, abs_tol=1e-9)
            return told, bool(same if isinstance(same, bool) else getattr(same, "all", lambda: same)())
    except BaseException:
        return told, False

for __pair__ in [{checks}]:
    print(*__check__(*__pair__), sep="\\n")
"""


def read_results(output: str, count: int) -> AssertionResults:
    """The results in the output of `checking_code` for `count` assertions; those not reached have failed."""
    lines = output.split("\n")[: 2 * count]
    given = tuple(lines[at] for at in range(0, len(lines) - 1, 2))
    passed = tuple(lines[at + 1] == PASSES for at in range(0, len(lines) - 1, 2))
    missing = count - len(given)
    return AssertionResults((*given, *[""] * missing), (*passed, *[False] * missing))
