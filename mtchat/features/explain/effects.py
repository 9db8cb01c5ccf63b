"""What a function does besides returning: whether it changes its inputs in place, and what it raises."""

import ast
from collections.abc import Iterator
from types import MappingProxyType

from mtchat.features.explain.mentions import FUNCTIONS
from mtchat.session.names import root_name, unparse

PAIRS = ((list, tuple), (dict, MappingProxyType), (set, frozenset))  # each with the type that cannot change
CHANGING = frozenset(
    name
    for changing, steady in PAIRS
    for name in vars(changing).keys() - vars(steady).keys()
    if not name.startswith("_") and name not in ("copy", "fromkeys")
)
COPYING = ("list", "dict", "set", "tuple", "sorted")


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS | ast.ClassDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def effect_facts(name: str, node: FUNCTIONS) -> Iterator[str]:
    """How a function treats its inputs, where the code says so for certain."""
    arguments = node.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        changes = changes_of(node, each.arg)
        given = [part for part in own_nodes(node) if is_given(part, each.arg)]
        if each.arg in ("self", "cls") or not changes or None in changes:
            continue
        first = min(line for line in changes if line is not None)
        if not given:
            yield f"`{name}` changes its input `{each.arg}` in place"
        elif (copy := copied_before(node, each.arg, first)) and len(given) == 1:
            yield (f"`{name}` does not change its input `{each.arg}`: it works on a copy (`{unparse(copy)}`)")


def changes_of(node: FUNCTIONS, name: str) -> list[int | None]:
    """The lines on which a function changes the value of a name in place; None for a part of that value."""
    found: list[int | None] = []
    for part in own_nodes(node):
        match part:
            case ast.Subscript(value, _, ast.Store() | ast.Del()) | ast.Attribute(value, _, ast.Store()):
                target = value
            case ast.Call(ast.Attribute(value, method)) if method in CHANGING:
                target = value
            case _:
                continue
        if root_name(target) == name:
            found.append(part.lineno if isinstance(target, ast.Name) else None)
    return found


def is_given(part: ast.AST, name: str) -> bool:
    return isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Store)


def copied_before(node: FUNCTIONS, name: str, line: int) -> ast.Assign | None:
    """The statement that replaces an input by a copy before a line."""
    for statement in node.body:
        match statement:
            case ast.Assign([ast.Name(target)], value) if target == name and statement.lineno < line:
                if is_copy(value, name):
                    return statement
    return None


def is_copy(value: ast.expr, name: str) -> bool:
    match value:
        case ast.Call(ast.Name(called), [ast.Name(given)]) if called in COPYING:
            return given == name
        case ast.Call(ast.Attribute(ast.Name(given), "copy"), []):
            return given == name
        case ast.Subscript(ast.Name(given), ast.Slice(None, None, None)):
            return given == name
    return False


def raises(node: FUNCTIONS) -> Iterator[tuple[str, str]]:
    """The exceptions that a function raises itself under an `if`, each with its condition."""
    for each in own_nodes(node):
        match each:
            case ast.If(test, [ast.Raise(ast.expr() as raised)]):
                yield unparse(raised), unparse(test)


def has_raise(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Raise) for each in ast.walk(node))
