"""Parses checks that are written in Python, and tells them from words, which a model turns into Python."""

import ast
import builtins
import re
from dataclasses import dataclass
from difflib import get_close_matches

from mtchat.errors import MtchatError, UsageError
from mtchat.features.checks.expression import IDEOGRAPH, LONGEST, asserted, free_names
from mtchat.session.names import bound_names, parse_module, unparse
from mtchat.session.program import Program, assemble, parse_expression
from mtchat.session.session import Session

OPENING = re.compile(r"check\s+that\b|check\s*:", re.IGNORECASE)  # may stand before a check in Python
NUMBERED = re.compile(
    r"(?:(?:check\s+that\s+)?(?:after\s+)?(?:turn|step)\s+(?P<turn>\d{1,9})\s*[,:]?\s|(?P<number>\d{1,9})\s*:)\s*"
    r"(?P<rest>.+)",
    re.IGNORECASE | re.DOTALL,
)
WORD = re.compile(r"[^\W\d_]+")
CODE = re.compile(r"[^\w\s.,!?'’-]|==|\w\.\w|\w\(")
EXAMPLES = "/check total == 42, /check total is at least 40, /check 2: len(names) == 3"


@dataclass(frozen=True)
class ParsedCheck:
    """A check: its turn and its Python expression; `worded` if the user wrote words."""

    turn: int
    code: str
    worded: bool = False


@dataclass(frozen=True)
class WordedCheck:
    """A check in words, and the turn that it is about."""

    turn: int
    text: str


def parse_check(text: str, session: Session) -> ParsedCheck | WordedCheck:
    """What a text says must hold: in Python, or in words; the error says how to write it."""
    text = text.strip()
    if not text:
        raise UsageError(f"check what? For example: {EXAMPLES}")
    if len(text) > LONGEST:
        raise UsageError(
            f"a check can have at most {LONGEST} characters; write a function and check what it returns"
        )
    if not session.path:
        raise MtchatError("there is no turn to check yet; type an instruction")
    number, wish = len(session.path), text
    if (match := NUMBERED.fullmatch(text)) and parse_expression(text) is None:
        number, wish = int(match["turn"] or match["number"]), match["rest"].strip()
    session.turn_at(number)
    program = program_until(session, number)
    code = asserted(wish) or asserted(OPENING.sub("", wish, count=1))
    strange = unknown_names(code, program.source) if code else ()
    if code and not (strange and is_worded(wish)):
        if is_constant(code):
            raise UsageError(explain_problem(wish))
        if strange:
            raise UsageError(explain_unknown(strange[0], number, session))
        return ParsedCheck(number, use_equality(code))
    if not is_worded(wish):
        raise UsageError(explain_problem(wish))
    return WordedCheck(number, " ".join(wish.split()))


def program_until(session: Session, number: int) -> Program:
    """The program up to a turn."""
    return assemble(session.path[:number], session.preamble)


def is_worded(text: str) -> bool:
    """Whether a text can be words: no Python, unless that is without an operator, and more than one word."""
    module = parse_module(text)
    match module.body if module else []:
        case [ast.Expr()] if not CODE.search(text):
            pass
        case [_, *_]:
            return False
    words = WORD.findall(text)
    return len(words) > 1 or IDEOGRAPH.search(text) is not None


def use_equality(code: str) -> str:
    """The code with == instead of `is` before a value, as in: total is 42."""
    value = parse_expression(code)
    if not value or not any(
        isinstance(node, ast.Compare) and is_value_comparison(node) for node in ast.walk(value)
    ):
        return code
    for node in ast.walk(value):
        if isinstance(node, ast.Compare) and is_value_comparison(node):
            node.ops = [ast.Eq() if isinstance(node.ops[0], ast.Is) else ast.NotEq()]
    return unparse(value)


def is_value_comparison(node: ast.Compare) -> bool:
    match node:
        case ast.Compare(_, [ast.Is() | ast.IsNot()], [ast.Constant(value)]):
            return value is not None and not isinstance(value, bool)
    return False


def is_constant(code: str) -> bool:
    """Whether it compares nothing: 42, (total, 42), a text in quotes."""
    value = parse_expression(code)
    displays = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Lambda, ast.JoinedStr)
    return value is None or isinstance(value, displays) or has_bare_operands(code) or not free_names(value)


def has_bare_operands(code: str) -> bool:
    """Whether a part of an and, or an or, is a mere value: total == 42 or 43."""
    value = parse_expression(code)
    return isinstance(value, ast.BoolOp) and any(isinstance(each, ast.Constant) for each in value.values)


def explain_problem(wish: str) -> str:
    """Why the text is not a check, and what a check looks like."""
    module = parse_module(wish)
    match module.body if module else []:
        case [ast.Assign([target], value)]:
            right = f"{unparse(target)} == {unparse(value)}"
            return f"= assigns a value; a check compares with ==: /check {right}"
        case [ast.Expr()] if parse_expression(wish) is None:
            return "this check is nested too deeply; write a function and check what it returns"
        case [ast.Expr()] if has_bare_operands(wish):
            return f"each side of 'and' and 'or' must compare: total == 42 or total == 43, not {wish}"
        case [ast.Expr()] | [ast.Assert()]:
            return f"{wish!r} does not depend on the program; a check compares, for example: {EXAMPLES}"
        case [_, *_]:
            return f"{wish!r} is a statement; a check is one expression, for example: {EXAMPLES}"
    return f"{wish!r} cannot be read ({syntax_problem(wish)}); a check compares, for example: {EXAMPLES}"


def syntax_problem(code: str) -> str:
    """Why Python rejects the code."""
    try:
        compile(code, "<check>", "eval", dont_inherit=True)
    except SyntaxError as error:
        return error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or "it is nested too deeply"
    return "it uses await or yield"


def unknown_names(code: str, source: str) -> tuple[str, ...]:
    """The names in a check that the program never defines; none if it may define names dynamically."""
    module, value = parse_module(source), parse_expression(code)
    if module is None or value is None or re.search(r"import\s*\*|\bexec\b|\bglobals\b|\bsetattr\b", source):
        return ()
    said = {each for node in ast.walk(module) if isinstance(node, ast.Global) for each in node.names}
    return tuple(sorted(free_names(value) - bound_names(source) - said - set(dir(builtins))))


def explain_unknown(name: str, number: int, session: Session) -> str:
    """Why a name cannot be used in a check of a turn."""
    if name in bound_names(session.program.source):
        return f"{name} is not defined yet after turn {number}"
    near = get_close_matches(name, bound_names(session.program.source), n=1)
    hint = f"did you mean {near[0]}?" if near else f"text needs quotes: {name!r}"
    return f"{name} is not defined after turn {number}; {hint}"
