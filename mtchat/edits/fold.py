"""Folds code to what later code needs of it: signatures and names, without bodies and long values."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from functools import lru_cache

from mtchat.edits.library import cst
from mtchat.edits.statements import Statement, StatementBlock, read_statements
from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import BrokenCodeError, CodeTree, walk
from mtchat.session.names import bound_names, parse_module

LEAST_SAVED = 48  # bytes that a part must save, or it stays
ELLIPSIS = "..."


@lru_cache(maxsize=1024)
def fold_code(code: str) -> str:
    """The code without bodies, long values and comments; as it is where it cannot be read, or is no longer.

    All that it binds at its top level is still bound, and a folded code folds no further.
    """
    code_of_lines = re.sub(r"\r\n?", "\n", code)
    try:
        text = strip_comments("\n".join(fold_statements(read_statements(code_of_lines))))
    except (BrokenCodeError, RecursionError):
        return code
    sound = parse_module(text) is not None and bound_names(code) <= bound_names(text)
    return text if sound and text and len(text) < len(code) else code


def fold_statements(block: StatementBlock) -> Iterator[str]:
    """Each statement of a module, folded where that keeps its names."""
    for place, each in enumerate(block.statements):
        whole = block.tree.code[each.start : each.end]
        if place == 0 and is_docstring(each):
            yield whole
            continue
        brief = apply_edits(block.tree.code, edits_of(block.tree, each), each.start, each.end)
        yield brief if parse_module(brief) is not None and bound_names(whole) <= bound_names(brief) else whole


def edits_of(tree: CodeTree, statement: Statement) -> Iterator[TextEdit]:
    """What goes of one statement."""
    match statement.node:
        case cst.FunctionDef() as node:
            yield from fold_body(tree, node)
        case cst.ClassDef() as node:
            for place, each in enumerate(StatementBlock(tree, node).statements):
                if place or not is_docstring(each):
                    yield from edits_of(tree, each)
        case cst.For() | cst.While() | cst.If() | cst.With() as node:
            yield from fold_block(tree, statement, StatementBlock(tree, node).statements[0].start)
        case cst.Try() | cst.TryStar() | cst.Match():
            yield from fold_block(tree, statement, statement.start)
        case (
            cst.Assign(value=value)
            | cst.AnnAssign(value=cst.BaseExpression() as value)
            | cst.AugAssign(value=value)
            | cst.Expr(value=value)
        ):
            yield from fold_value(tree, value)


def fold_body(tree: CodeTree, node: cst.FunctionDef) -> Iterator[TextEdit]:
    """The body of a function, after its docstring."""
    body = StatementBlock(tree, node).statements
    body = body[1:] if is_docstring(body[0]) else body
    if body:
        text = " = ".join([*bound_attributes(tree, node), ELLIPSIS])
        yield from keep_if_shorter(tree, TextEdit(body[0].start, body[-1].end, text))


def bound_attributes(tree: CodeTree, node: cst.FunctionDef) -> list[str]:
    """What `__init__` binds of the object that it makes, as `self.x`."""
    params = [*node.params.posonly_params, *node.params.params]
    if node.name.value != "__init__" or not params:
        return []
    found = sorted(
        (tree.span(each).start, f"{params[0].name.value}.{each.attr.value}")
        for target in targets_below(node.body)
        for each in stored_attributes(target)
        if isinstance(each.value, cst.Name) and each.value.value == params[0].name.value
    )
    return list(dict.fromkeys(text for _, text in found))


def targets_below(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Whatever the statements below a node assign to."""
    for each in walk(node):
        match each:
            case (
                cst.AssignTarget(target=target) | cst.AnnAssign(target=target) | cst.AugAssign(target=target)
            ):
                yield target
            case cst.For(target=target) | cst.CompFor(target=target) | cst.AsName(name=target):
                yield target


def stored_attributes(target: cst.CSTNode) -> Iterator[cst.Attribute]:
    """The attributes that an assignment to a target binds."""
    match target:
        case cst.Attribute():
            yield target
        case cst.Tuple() | cst.List():
            for each in target.elements:
                yield from stored_attributes(each.value)


def fold_block(tree: CodeTree, statement: Statement, start: int) -> Iterator[TextEdit]:
    """What a compound statement does from a place on, but for the names that it binds there.

    One that imports or defines something stays.
    """
    if any(is_definition(each) for each in walk(statement.node)):
        return
    head = tree.code[statement.start : start] + "pass"
    names = bound_names(tree.code[statement.start : statement.end]) - bound_names(head)
    text = " = ".join([*sorted(names), ELLIPSIS])
    yield from keep_if_shorter(tree, TextEdit(start, statement.end, text))


def is_definition(node: cst.CSTNode) -> bool:
    """Whether this binds a name in a way that cannot be folded."""
    return isinstance(
        node, cst.Import | cst.ImportFrom | cst.NamedExpr | cst.FunctionDef | cst.ClassDef | cst.TypeAlias
    )


def fold_value(tree: CodeTree, value: cst.BaseExpression) -> Iterator[TextEdit]:
    """A long value: of a call the function stays, of a lambda what it takes, of a literal its kind."""
    span = tree.span(value)
    if any(isinstance(each, cst.NamedExpr) for each in walk(value)):
        return
    match value:
        case cst.Call(func=function) if end_of(tree, function) - span.start < 2 * LEAST_SAVED:
            edit = TextEdit(end_of(tree, function), span.end, f"({ELLIPSIS})")
        case cst.Lambda(body=body):
            edit = TextEdit(tree.span(body).start, tree.span(body).end, ELLIPSIS)
        case _:
            edit = TextEdit(span.start, span.end, brief_value(value))
    yield from keep_if_shorter(tree, edit)


def end_of(tree: CodeTree, node: cst.BaseExpression) -> int:
    """Where an expression ends, with the parentheses around it."""
    return tree.span(node.rpar[-1]).end if node.rpar else tree.span(node).end


def brief_value(value: cst.BaseExpression) -> str:
    """What stands for a long value, of the kind that it is of."""
    match value:
        case cst.List():
            return "[...]"
        case cst.Tuple():
            return "(..., ...)"
        case cst.Dict():
            return "{...: ...}"
        case cst.Set():
            return "{...}"
        case cst.BaseString() if not value_is_bytes(value):
            return '"..."'
    return ELLIPSIS


def value_is_bytes(value: cst.BaseString) -> bool:
    while isinstance(value, cst.ConcatenatedString):
        value = value.left
    return isinstance(value, cst.SimpleString) and "b" in value.prefix


def keep_if_shorter(tree: CodeTree, edit: TextEdit) -> Iterator[TextEdit]:
    """An edit that is worth it."""
    if len(tree.code[edit.start : edit.end].encode()) - len(edit.text.encode()) >= LEAST_SAVED:
        yield edit


def is_docstring(statement: Statement) -> bool:
    """Whether a statement that comes first is a docstring."""
    match statement.node:
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString() as text):
            return not value_is_bytes(text) and isinstance(text.evaluated_value, str)
    return False


def strip_comments(code: str) -> str:
    """Code without the lines that hold a comment alone, or nothing between statements."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return code
    gone = {
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }
    gone |= {token.start[0] for token in tokens if token.type == tokenize.NL and not token.line.strip()}
    lines = code.split("\n")
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in gone)


def drop_folded_copies(code: str, briefs: Sequence[str]) -> str:
    """The code without definitions that repeat what folded codes show, which would undo the whole ones."""
    shown = {text for brief in briefs for text, _ in elided_definitions(brief)}
    lines = re.sub(r"\r\n?", "\n", code)
    edits = [
        TextEdit(each.start, each.end, "") for text, each in elided_definitions(lines) if text in shown
    ] if shown else []  # fmt: skip
    return apply_edits(lines, edits).strip("\n") if edits else code


def elided_definitions(code: str) -> list[tuple[str, Statement]]:
    """The functions and classes of a code in which something is left out, each with its text."""
    try:
        statements = read_statements(code).statements
    except BrokenCodeError:
        return []
    return [
        (strip_comments(code[each.start : each.end]), each)
        for each in statements
        if isinstance(each.node, cst.FunctionDef | cst.ClassDef)
        and any(isinstance(inner, cst.Ellipsis) for inner in walk(each.node))
    ]
