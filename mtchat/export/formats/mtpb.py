"""A problem of the multi-turn benchmark, for mtchat bench mtpb --data FILE.

It has the instructions, and the value that the last turn prints, else what the last check of the session asks
for. There is one input, which fills nothing in.
"""

import ast
import json
from dataclasses import dataclass

from mtchat.errors import MtchatError, UsageError
from mtchat.export.format import foreign_notice
from mtchat.session.names import parse_module, unparse
from mtchat.session.outcome import output_by_turn
from mtchat.session.program import parse_expression
from mtchat.session.session import Session

SUFFIX = ".mtpb.jsonl"
LENGTH = 256  # tokens of a reply, as in the benchmark
BEGIN = "Begin with this code:\n"


@dataclass(frozen=True)
class ExpectedValue:
    """The wanted value, and the instruction that asks for it where the last turn does not show it."""

    value: object
    asked: str = ""


@dataclass(frozen=True)
class LastPrint:
    """What the last print of a chunk shows, and whether it is the only one and prints once."""

    value: ast.expr
    alone: bool


def write(session: Session) -> str:
    """One line of JSON; MtchatError where the session does not say what is to come out."""
    if not session.language.runs:
        raise UsageError(foreign_notice(session, "a problem of this benchmark"))
    if not session.path:
        raise MtchatError("a problem needs turns, but the session has none")
    wanted = expected_value(session)
    begin = [BEGIN + session.preamble.rstrip()] if session.preamble.strip() else []
    prompts = [*begin, *(turn.full_instruction for turn in session.path), *filter(None, [wanted.asked])]
    problem = {
        "prompts": [escape_braces(prompt) for prompt in prompts],
        "inputs": [{}],
        "outputs": [wanted.value],
        "max_gen_length": max(LENGTH, *(turn.usage.completion_tokens for turn in session.path)),
        "category": "session",
        "name": session.name or "session",
        "description": session.path[0].instruction_as_typed.strip().split("\n")[0],
        "id": session.name or "session",
    }
    return json.dumps(problem) + "\n"


def escape_braces(prompt: str) -> str:
    """A prompt whose braces stand for themselves; the benchmark fills others in."""
    return prompt.replace("{", "{{").replace("}", "}}")


def expected_value(session: Session) -> ExpectedValue:
    """What the benchmark is to look for: it compares the first thing that the last print shows."""
    if session.outcome is None or not session.outcome.ok:
        raise MtchatError(
            "a problem needs a program that runs to its end; /run runs it, and /fix resolves it"
        )
    said = output_by_turn(session.program, session.outcome).get(len(session.path), "").strip("\n")
    last = last_print(session.path[-1].chunk)
    if said.strip() and last is not None:
        text = said if last.alone else said.split("\n")[-1]
        return ExpectedValue(text if prints_text(last.value, session) else parse_value(text))
    if session.checks:
        return value_of_check(session.checks[-1].code)
    raise MtchatError(
        "a problem is judged by one value that the last turn prints, but it prints "
        f"{'several things at once' if said.strip() else 'nothing'}; make it print one value, "
        "or add a check: /check total == 42"
    )


def value_of_check(code: str) -> ExpectedValue:
    """What a check asks for: the value that something must have, else that the check holds."""
    match parse_expression(code):
        case ast.Compare(left, [ast.Eq()], [ast.Constant(str(text))]):
            return ExpectedValue(text, f"Print {unparse(left)}.")
        case ast.Compare(left, [ast.Eq()], [right]) if not isinstance(parse_value(unparse(right)), str):
            return ExpectedValue(parse_value(unparse(right)), f"Print {unparse(left)}.")
    return ExpectedValue(True, f"Print {code}.")


def last_print(chunk: str) -> LastPrint | None:
    """What the last print of a chunk shows; None where that is not one thing."""
    module = parse_module(chunk)
    found = [node for node in ast.walk(module) if is_print(node)] if module else []
    prints = sorted((node for node in found if isinstance(node, ast.Call)), key=lambda node: node.lineno)
    if not prints or len(prints[-1].args) != 1 or isinstance(prints[-1].args[0], ast.Starred):
        return None
    top = [each.value for each in module.body if isinstance(each, ast.Expr)] if module else []
    return LastPrint(prints[-1].args[0], len(prints) == 1 and prints[0] in top)


def is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def parse_value(text: str) -> object:
    """What a text says as JSON has it: numbers, truths and lists are compared as what they are."""
    try:
        found = tuples_to_lists(ast.literal_eval(text.strip()))
        if isinstance(found, int | float | list) and json.loads(json.dumps(found, allow_nan=False)) == found:
            return found
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    return text


def tuples_to_lists(found: object) -> object:
    """Tuples as lists, which they equal in the benchmark."""
    return [tuples_to_lists(each) for each in found] if isinstance(found, list | tuple) else found


def prints_text(shown: ast.expr, session: Session) -> bool:
    """Whether it is seen in the code that what is printed is a text, though it may read like a list."""
    if not isinstance(shown, ast.Name):
        return is_text_expression(shown)
    module = parse_module(session.program.source)
    given = [
        node.value
        for node in (ast.walk(module) if module else ())
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id == shown.id for each in node.targets)
    ]
    return bool(given) and is_text_expression(given[-1])


def is_text_expression(shown: ast.expr) -> bool:
    match shown:
        case ast.JoinedStr() | ast.Constant(str()) | ast.Call(ast.Name("str" | "repr" | "format")):
            return True
        case ast.Call(ast.Attribute(attr="join" | "format" | "dumps" | "strip" | "upper" | "lower")):
            return True
        case ast.BinOp(left, ast.Add() | ast.Mod(), right):
            return is_text_expression(left) or is_text_expression(right)
    return False
