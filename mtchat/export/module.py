"""Turns that run one after the other as one file, in which some statements must stand at the beginning."""

import ast
import re
from collections.abc import Iterator, Sequence

from mtchat.edits.text import TextEdit, apply_edits
from mtchat.session.names import compiles, parse_module
from mtchat.session.source import SourceText

HOISTED = re.compile(r"(?:from __future__ import [\w, ]+|__doc__ = .*)  # of a later cell")
AFTER = "  # of a later cell"
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def one_module(codes: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines that a file begins with, and its pieces, so that it does what they do one after the other.

    A `from __future__` of a later piece goes to the beginning. It stays as a string where it was, and so does
    a `global` at the top level, where it says nothing, but is an error after a use of the name.
    """
    if compiles("\n\n".join(codes)) or not all(map(compiles, codes)):
        return [], list(codes)
    names = sorted(
        {alias.name for code in codes for node in future_imports(parse_module(code)) for alias in node.names}
    )
    head = [f"from __future__ import {', '.join(names)}{AFTER}"] if names else []
    first = next((code for code in codes if code.strip()), "")
    words = ast.get_docstring(parse_module(first) or ast.Module([], []), clean=False)
    if head and words is not None:
        head.append(f"__doc__ = {words!r}{AFTER}")
    made = [quote_statements(code) for code in codes]
    return (head, made) if compiles("\n\n".join(["\n".join(head), *made])) else ([], list(codes))


def future_imports(module: ast.Module | None) -> list[ast.ImportFrom]:
    return [
        node
        for node in (module.body if module else ())
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level
    ]


def outer_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The `global` statements outside of functions and classes."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.Global):
            yield each
        elif not isinstance(each, (*SCOPES, ast.expr)):
            yield from outer_statements(each)


def quote_statements(code: str) -> str:
    """The code with these statements as strings."""
    module, source = parse_module(code), SourceText(code)
    nodes = [*future_imports(module), *outer_statements(module)] if module else []
    spans = [(source.start(node), source.end(node)) for node in nodes]
    return apply_edits(code, [TextEdit(start, end, repr(code[start:end])) for start, end in spans])


def moved_strings(code: str) -> list[int]:
    """Which of the strings that could be such statements are ones, where `whole` has made strings of some."""
    module = parse_module(code)
    if module is None:
        return []
    gone = {id(node) for node in (*future_imports(module), *outer_statements(module))}
    kinds = [id(node) in gone for node in ast.walk(module) if id(node) in gone or is_string(node)]
    return [place for place, kind in enumerate(kinds) if kind]


def unquote_statements(code: str, places: Sequence[int]) -> str:
    """The code with the strings at these places, of those that could be such statements, as statements."""
    found = list(string_spans(code))
    return apply_edits(code, [TextEdit(*found[place]) for place in set(places) if place < len(found)])


def string_spans(code: str) -> Iterator[tuple[int, int, str]]:
    """The strings that are statements and could hold a `from __future__` or a `global`: start, end, text."""
    module, source = parse_module(code), SourceText(code)
    for node in ast.walk(module) if module else ():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and is_string(node):
            yield source.start(node), source.end(node), str(node.value.value)


def is_string(node: ast.AST) -> bool:
    value = getattr(getattr(node, "value", None), "value", None) if isinstance(node, ast.Expr) else None
    return isinstance(value, str) and re.match(r"(?:from|global)\b", value) is not None
