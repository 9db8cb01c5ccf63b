"""Names that a program looks up by strings: which strings those are, and the code with others there."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mtchat.session.names import tree
from mtchat.session.source import Edit, Source

ATTRIBUTES = ("getattr", "setattr", "hasattr", "delattr")
WHOLE = r"(?<=['\"])NAME(?=['\"])"
FIELD = r"(?<!\{)(?:\{\{)*\{NAME(?=[}!:.\[])"
SCOPES = ("locals", "globals", "vars")


@dataclass(frozen=True)
class Spelling:
    """A string in which a name is looked up; `field` is the pattern of how the name stands in it."""

    node: ast.Constant
    field: str
    attribute: bool


def respelled(code: str, old: str, new: str, owned: bool) -> str:
    """The code with a name changed in strings that look it up, as an attribute only where it is `owned`."""
    source, edits = Source(code), list[Edit]()
    for each in spellings(code):
        if each.attribute and not owned:
            continue
        start, end = source.start(each.node), source.end(each.node)
        written = source.text(start, end)
        pattern = each.field.replace("NAME", rf"{re.escape(old)}(?!\w)")
        text = re.sub(pattern, lambda match: match[0].replace(old, new), written)
        if text != written:
            edits.append(Edit(start, end, text))
    made = source.changed(0, len(source.data), sorted(set(edits), key=lambda edit: edit.start))
    return code if tree(made) is None else made


def spellings(code: str) -> Iterator[Spelling]:
    """The strings of some code that look names up: in a scope, of an object, in a format, as types."""
    for node in ast.walk(tree(code) or ast.Module([], [])):
        match node:
            case ast.Call(func=ast.Name(id=function), args=[_, ast.Constant() as name, *_]):
                if function in ATTRIBUTES:
                    yield from spelling(name, WHOLE, attribute=True)
            case ast.Call(
                func=ast.Attribute(attr="attrgetter") | ast.Name(id="attrgetter"), args=list(found)
            ):
                for each in found:
                    yield from spelling(each, r"(?<=['\"])NAME(?=['\".])", attribute=True)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                parts = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
                for each in parts:
                    yield from spelling(each, WHOLE, attribute=True)
            case ast.BinOp(left=ast.Constant() as text, op=ast.Mod(), right=right) if is_scope(right):
                yield from spelling(text, r"(?<=%\()NAME(?=\))")
            case ast.Call(func=ast.Attribute(value=ast.Constant() as text, attr="format"), keywords=given):
                if any(each.arg is None and is_scope(each.value) for each in given):
                    yield from spelling(text, FIELD)
            case ast.Call(
                func=ast.Attribute(value=ast.Constant() as text, attr="format_map"), args=[given_map]
            ):
                if is_scope(given_map):
                    yield from spelling(text, FIELD)
            case (
                ast.arg(annotation=ast.expr() as hint)
                | ast.AnnAssign(annotation=hint)
                | ast.FunctionDef(returns=ast.expr() as hint)
                | ast.AsyncFunctionDef(returns=ast.expr() as hint)
            ):
                for each in hints(hint):
                    yield from spelling(each, r"(?<![\w.])NAME")
            case ast.Subscript(value=space, slice=ast.Constant() as name) if is_scope(space):
                yield from spelling(name, WHOLE)
            case ast.Subscript(value=ast.Attribute(attr="__dict__"), slice=ast.Constant() as name):
                yield from spelling(name, WHOLE, attribute=True)


def spelling(node: ast.expr, field: str, attribute: bool = False) -> Iterator[Spelling]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Spelling(node, field, attribute)


def hints(annotation: ast.expr) -> Iterator[ast.expr]:
    """The strings in an annotation that name types: all that read as code, but none that is a value."""
    match annotation:
        case ast.Constant(value=str(text)):
            if tree(text.strip()) is not None:
                yield annotation
        case ast.Subscript(
            value=ast.Name(id="Literal" | "Annotated") | ast.Attribute(attr="Literal" | "Annotated")
        ):
            return
        case _:
            for each in ast.iter_child_nodes(annotation):
                if isinstance(each, ast.expr):
                    yield from hints(each)


def is_scope(node: ast.expr) -> bool:
    """Whether this is a call that gives all names of a scope."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in SCOPES
        and not node.args
    )


def evaluated(code: str, name: str) -> bool:
    """Whether a name stands in what a program evaluates as code, which only running it can tell."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("eval", "exec")
        and any(
            isinstance(each, ast.Constant) and re.search(rf"\b{re.escape(name)}\b", str(each.value))
            for argument in node.args
            for each in ast.walk(argument)
        )
        for node in ast.walk(tree(code) or ast.Module([], []))
    )
