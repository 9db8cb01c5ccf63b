"""Parses checks: Python, or a sentence such as "after this total must be 42"."""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from mtchat.errors import MtchatError, UsageError
from mtchat.session.names import bound_names, parse_module
from mtchat.session.program import assemble, parse_expression
from mtchat.session.session import Session

OPENING = re.compile(
    r"""(?:please\s+)?(?:
        (?:check\s+that\s+)?after\s+(?:(?:this|that)(?:\s+turn|\s+step)?|(?:turn|step)\s+(?P<turn>\d{1,9}))[\s,:]+
      | check(?:\s+that\b|\s*:)\s*
    )""",
    re.VERBOSE | re.IGNORECASE,
)
NUMBERED = re.compile(r"(?:(?:turn|step)\s+)?(?P<turn>\d{1,9})\s*:\s*(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
SAYS = re.compile(
    r"""\s+(?:
        (?:must|should|has\s+to|have\s+to|needs\s+to)\s+(?P<never>not\s+)?(?:be|equal)\b
      | (?P<holds>(?:(?:must|should|has\s+to)\s+)?contains?)\b
      | (?:is|are|equals)\b
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)
HOW = re.compile(
    r"""(?P<not>not\s+)?(?:
        (?P<ge>at\s+least|not\s+less\s+than) | (?P<le>at\s+most|not\s+more\s+than)
      | (?P<gt>(?:more|greater|larger|bigger|higher|longer)\s+than|above|over)
      | (?P<lt>(?:less|smaller|lower|fewer|shorter)\s+than|below|under)
      | (?P<in>(?:one\s+of|in|among))
      | (?P<eq>equal\s+to|the\s+same\s+as|exactly)
    )?\s*""",
    re.VERBOSE | re.IGNORECASE,
)
AFTER = re.compile(r"(?:please\s+)?(?:check\s+that\s+)?after\b", re.IGNORECASE)
MUST = re.compile(r"\b(?:must|should|has\s+to|have\s+to|needs\s+to|need\s+to)\b", re.IGNORECASE)
SIGNS = {"ge": ">=", "le": "<=", "gt": ">", "lt": "<", "in": "in", "eq": "=="}
OPPOSITES = {">=": "<", "<=": ">", ">": "<=", "<": ">=", "in": "not in", "==": "!=", "is": "is not"}
VALUES = {"true": "True", "false": "False", "none": "None"}
KINDS = {"empty": "len({}) == 0", "positive": "{} > 0", "negative": "{} < 0"}
ARTICLES = re.compile(
    r"(?:the\s+)?(?:(?:value|content|contents)\s+of\s+)?(?:the\s+)?(?:variable\s+)?", re.IGNORECASE
)

LENGTH = re.compile(r"(?:length|size|number\s+of\s+\w+)\s+(?:of|in)\s+(?P<of>.+)", re.IGNORECASE)
LONGEST = 400  # characters of a check
EXAMPLES = "/check total == 42, /check total is at least 40, /check 2: len(names) == 3"


@dataclass(frozen=True)
class ParsedCheck:
    """A check as the user typed it: its turn and its Python expression."""

    turn: int
    code: str


def find_check(instruction: str, session: Session) -> ParsedCheck | None:
    """The check that an instruction states; None if the instruction is for the model.

    The names that it compares must exist after the turn, so "check that the list is sorted" is for the model.
    """
    match = OPENING.match(instruction)
    if match is None or "\n" in instruction.strip() or len(instruction) > LONGEST or not session.path:
        return None
    number = int(match["turn"] or len(session.path))
    path = session.path[:number]
    known = bound_names(assemble(path, session.preamble).source)
    wish = instruction[match.end() :].strip()
    for code in (*from_sentence(wish), *from_comparison(wish)):
        read = names_in(code)
        if read & known and read <= known | set(dir(builtins)):
            session.turn_at(number)
            return ParsedCheck(number, use_equality(code))
    return None


def explain_unreadable(instruction: str, session: Session) -> str:
    """The error message for a check in words that cannot be parsed; "" for any other instruction.

    Such an instruction names something in the program and says what must be true of it after a turn.
    """
    match = OPENING.match(instruction)
    if match is None or not AFTER.match(instruction) or not session.path or find_check(instruction, session):
        return ""
    wish = instruction[match.end() :].strip()
    found = MUST.search(wish)
    if found is None:
        return ""
    known = bound_names(session.program.source)
    words = re.findall(r"[A-Za-z_]\w*", wish[: found.start()])
    name = next((word for word in words if word in known), "")
    if not name:
        return ""
    number = re.match(r"\s*have\s+(?:exactly\s+)?(\d+)\b", wish[found.end() :], re.IGNORECASE)
    way = f"/check len({name}) == {number[1]}" if number else EXAMPLES
    return f"this looks like a check, but mtchat cannot read it; try {way}, or /next TEXT to make it a step"


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
    return ast.unparse(value)


def is_value_comparison(node: ast.Compare) -> bool:
    match node:
        case ast.Compare(_, [ast.Is() | ast.IsNot()], [ast.Constant(value)]):
            return value is not None and not isinstance(value, bool)
    return False


def parse_check(text: str, session: Session) -> ParsedCheck:
    """The check in the argument of /check; the error says how to write it."""
    text = text.strip()
    if len(text) > LONGEST:
        raise UsageError(
            f"a check can have at most {LONGEST} characters; write a function and check what it returns"
        )
    if not session.path:
        raise MtchatError("there is no turn to check yet; type an instruction")
    number, wish = len(session.path), text
    if match := OPENING.match(text):
        number, wish = int(match["turn"] or number), text[match.end() :].strip()
    elif (match := NUMBERED.fullmatch(text)) and parse_expression(text) is None:
        number, wish = int(match["turn"]), match["rest"].strip()
    session.turn_at(number)
    found = [code for code in candidate_expressions(wish) if not is_constant(code)]
    if not found:
        raise UsageError(explain_problem(wish))
    source = assemble(session.path[:number], session.preamble).source
    if strange := unknown_names(found[0], source):
        raise UsageError(explain_unknown(strange[0], number, session))
    return ParsedCheck(number, use_equality(found[0]))


def candidate_expressions(wish: str) -> Iterator[str]:
    """What the text can mean as Python, then as a sentence; "total is 42" is a sentence."""
    code = valid_expression(wish)
    identity = isinstance(value := parse_expression(code), ast.Compare) and isinstance(
        value.ops[0], ast.Is | ast.IsNot
    )
    if code and not identity:
        yield code
    yield from from_sentence(wish)
    if code and identity:
        yield code


def is_constant(code: str) -> bool:
    """Whether it compares nothing: 42, (total, 42), a text in quotes."""
    displays = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Lambda, ast.JoinedStr)
    return isinstance(parse_expression(code), displays) or bool(has_bare_operands(code)) or not names_in(code)


def has_bare_operands(code: str) -> bool:
    """Whether a part of an and, or an or, is a mere value: total == 42 or 43."""
    value = parse_expression(code)
    return isinstance(value, ast.BoolOp) and any(isinstance(each, ast.Constant) for each in value.values)


def from_comparison(wish: str) -> Iterator[str]:
    """A comparison in Python, as the end of a sentence."""
    code = valid_expression(wish.rstrip(". "))
    value = parse_expression(code) if code else None
    if isinstance(value, ast.Compare | ast.BoolOp) and not has_bare_operands(code):
        yield code


def from_sentence(wish: str) -> Iterator[str]:
    """What a sentence can mean in Python, most likely first."""
    for says in SAYS.finditer(wish):
        left = parse_side(wish[: says.start()])
        code = build_comparison(left, says, wish[says.end() :].strip()) if left else ""
        if code:
            yield code


def parse_side(text: str) -> str:
    """One side of a comparison in a sentence, as Python; "" if it is not one."""
    text = ARTICLES.sub("", text.strip(), count=1)
    if match := LENGTH.fullmatch(text):
        return f"len({match['of']})" if valid_expression(match["of"]) else ""
    loose = (ast.BoolOp, ast.Compare, ast.IfExp, ast.Lambda, ast.NamedExpr, ast.Starred)
    return "" if isinstance(parse_expression(text), loose) else valid_expression(text)


def build_comparison(left: str, says: re.Match[str], rest: str) -> str:
    """The comparison in a sentence; "" if there is none."""
    how = HOW.match(rest)
    assert how is not None  # it may be empty
    sign = next((SIGNS[name] for name in SIGNS if how[name]), "==")
    never = bool(says["never"]) != bool(how["not"])
    word = rest[how.end() :].rstrip(". ").strip()
    if word.lower() in KINDS and sign == "==":
        claim = KINDS[word.lower()].format(left)
        return f"not {claim}" if never else claim
    right = VALUES.get(word.lower()) or parse_side(word)
    if not right:
        return ""
    if says["holds"]:
        return f"{right} in {left}"
    if right == "None" and sign == "==":
        sign = "is"
    return f"{left} {OPPOSITES[sign] if never else sign} {right}"


def valid_expression(code: str) -> str:
    """The code if it is one expression that can be evaluated; "" otherwise."""
    value = parse_expression(code) if code.strip() else None
    if value is None or any(
        isinstance(node, ast.Await | ast.Yield | ast.YieldFrom) for node in ast.walk(value)
    ):
        return ""
    return code.strip()


def names_in(code: str) -> frozenset[str]:
    """The free names of an expression."""
    value = parse_expression(code)
    nodes = list(ast.walk(value)) if value else []
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name)) - own


def explain_problem(wish: str) -> str:
    """Why the text is not a check, and what a check looks like."""
    if not wish:
        return f"check what? For example: {EXAMPLES}"
    module = parse_module(wish)
    match module.body if module else []:
        case [ast.Assign([target], value)]:
            right = f"{ast.unparse(target)} == {ast.unparse(value)}"
            return f"= assigns a value; a check compares with ==: /check {right}"
        case [ast.Expr()] if parse_expression(wish) is None:
            return "this check is nested too deeply; write a function and check what it returns"
        case [ast.Expr()] if has_bare_operands(wish):
            return f"each side of 'and' and 'or' must compare: total == 42 or total == 43, not {wish}"
        case [ast.Expr()]:
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
    module = parse_module(source)
    if module is None or re.search(r"import\s*\*|\bexec\b|\bglobals\b|\bsetattr\b", source):
        return ()
    said = {each for node in ast.walk(module) if isinstance(node, ast.Global) for each in node.names}
    return tuple(sorted(names_in(code) - bound_names(source) - said - set(dir(builtins))))


def explain_unknown(name: str, number: int, session: Session) -> str:
    """Why a name cannot be used in a check of a turn."""
    if name in bound_names(session.program.source):
        return f"{name} is not defined yet after turn {number}"
    near = get_close_matches(name, bound_names(session.program.source), n=1)
    hint = f"did you mean {near[0]}?" if near else f"text needs quotes: {name!r}"
    return f"{name} is not defined after turn {number}; {hint}"
