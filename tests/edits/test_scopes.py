"""Scopes are those of Python's own compiler, for code of the standard library."""

import ast
import json
import symtable
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from libcst import ClassDef, FunctionDef

from mtchat.edits.scopes import CLASS, FUNCTION, Scope, read_program
from mtchat.edits.tree import parse_tree

LIBRARY = Path(ast.__file__).parent
FILES = (
    "bisect.py",
    "contextlib.py",
    "dataclasses.py",
    "heapq.py",
    "functools.py",
    "textwrap.py",
    "typing.py",
)
PATHS = [*(LIBRARY / name for name in FILES), Path(json.__file__), Path(textwrap.__file__)]


def compiled(
    table: symtable.SymbolTable, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """By the path of each function or class, the names that are its own."""
    yield path, {symbol.get_name() for symbol in table.get_symbols() if symbol.is_local()}
    for child in table.get_children():
        yield from compiled(child, (*path, child.get_name()))


def path_of(scope: Scope) -> tuple[str, ...]:
    if scope.parent is None:
        return ()
    name = scope.node.name.value if isinstance(scope.node, FunctionDef | ClassDef) else scope.kind
    return (*path_of(scope.parent), name)


@pytest.mark.parametrize("file", PATHS, ids=lambda file: file.name)
def test_the_names_of_each_scope_are_those_that_the_compiler_finds(file: Path) -> None:
    code = file.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = dict[tuple[str, ...], list[set[str]]]()
        for path, names in compiled(symtable.symtable(code, file.name, "exec")):
            wanted.setdefault(path, []).append(names)
    tree = parse_tree(code)
    program = read_program([tree])
    own = dict[Scope, set[str]]()
    for use in program.uses:
        span = tree.span(use.node)
        assert code[span.start : span.end] == use.node.value
        if use.home is use.scope and use.scope.kind in (FUNCTION, CLASS):
            own.setdefault(use.scope, set()).add(use.node.value)
    for scope, names in own.items():
        plain = {name for name in names if not name.startswith("__")}  # the compiler mangles private names
        choices = wanted.get(path_of(scope), [])
        assert not choices or any(plain <= each for each in choices), path_of(scope)
