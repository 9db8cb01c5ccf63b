"""Distinguishes Python by the user from instructions for the model, and makes it a turn."""

import ast
import builtins
import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from textwrap import dedent

from mtchat.errors import UsageError
from mtchat.session.names import bound_names, parse_module
from mtchat.session.prompt import Usage
from mtchat.session.provenance import BY_HAND, Fill
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, Turn

FENCED = re.compile(r"\s*```[ \t]*\w*\n(?P<code>.*?)\n?[ \t]*```\s*", re.DOTALL)
PROMPT = re.compile(r"(?:>>>|\.\.\.|In \[\d+\]:)(?: |$)")
INSTRUCTION, LONGEST = "add my own code: ", 60
# Nodes that no English sentence parses to, whatever the names are.
SIGNS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.AsyncFor, ast.While, ast.If),
    *(ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match),
)
VALUES = (ast.Assign, ast.AugAssign, ast.NamedExpr, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def code_in(text: str) -> str:
    """The code in a text, without a Markdown fence, interpreter prompts and their output."""
    text = text.strip("\n")
    fence = FENCED.fullmatch(text)
    code = dedent(fence["code"] if fence else text).rstrip()
    lines = code.split("\n")
    if PROMPT.match(lines[0]):
        typed = [(PROMPT.match(line), line) for line in lines]
        code = "\n".join(line[match.end() :] for match, line in typed if match).rstrip()
    first, newline, rest = code.partition("\n")
    if newline and parse_module(code) is None and parse_module(f"{first}\n{dedent(rest)}"):
        code = f"{first}\n{dedent(rest)}"  # its first line had lost its indentation
    return code


def is_code(text: str, session: Session) -> bool:
    """Whether a text can only be Python: it parses, and it is not words that happen to parse.

    A name that is called or has attributes must be known: to Python, to the program, or from the text itself.
    """
    module = parse_module(code_in(text))
    if module is None or not module.body or not session.language.runs:
        return False
    names = [each for each in ast.walk(module) if isinstance(each, ast.Name)]
    deleted = {each.id for each in names if isinstance(each.ctx, ast.Del)}
    known = set(dir(builtins)) | bound_names(session.program.source) | (bound_names(code_in(text)) - deleted)
    if all(is_words(each, known) for each in module.body):
        return False
    return any(is_python_node(node, known) for node in ast.walk(module))


def is_words(statement: ast.stmt, known: set[str]) -> bool:
    """Whether a statement joins code and unknown names by English words, such as `print(total) in red`."""
    match statement:
        case ast.Expr(ast.Compare() | ast.BoolOp() | ast.UnaryOp(ast.Not()) as value):
            parts = [each for each in ast.iter_child_nodes(value) if isinstance(each, ast.Name)]
            return any(each.id not in known for each in parts)
    return False


def is_python_node(node: ast.AST, known: set[str]) -> bool:
    match node:
        case ast.Import(names):
            return all(module_exists(alias.name) or alias.asname for alias in names)
        case ast.ImportFrom():
            return True
        case ast.AnnAssign(_, _, value):
            return value is not None
        case ast.Call(function) | ast.Attribute(function) | ast.Subscript(function):
            return not isinstance(function, ast.Name) or function.id in known
        case ast.BinOp(ast.Name(left), _, ast.Name(right)):
            return {left, right} <= known
        case ast.Delete() | ast.Assert() | ast.Raise():
            return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} <= known
    return isinstance(node, (*SIGNS, *VALUES, ast.JoinedStr, ast.BinOp, ast.Lambda, ast.Dict))


def module_exists(module: str) -> bool:
    """Whether a module of this name exists; it is not imported."""
    root = module.split(".")[0]
    try:
        return root in sys.stdlib_module_names or find_spec(root) is not None
    except (ImportError, ValueError):
        return False


def turn_from_code(code: str, session: Session) -> Turn:
    """A turn with the user's code, after the last turn of a session."""
    code = code_in(code)
    if not code.strip():
        raise UsageError("add which code? For example: /add total = sum(prices), or /add < FILE.py")
    first = next(line.strip() for line in code.split("\n") if line.strip())
    wish = first if len(first) <= LONGEST else first[: LONGEST - 1] + "…"
    return Turn(INSTRUCTION + wish, code, session.head, EDITED)


def with_user_code(session: Session, number: int, code: str, filled: str = "") -> Session:
    """The session up to turn `number`, with this code by the user in it, not run yet.

    `filled` names the model that filled the holes in the code, if any.
    """
    old = session.turn_at(number)
    provenance = Fill(by=filled) if filled else BY_HAND
    turn = replace(old, chunk=code, status=EDITED, provenance=provenance, usage=Usage())
    return session.undo(len(session.path) - number + 1).add(turn).inherit_options(old.id)
