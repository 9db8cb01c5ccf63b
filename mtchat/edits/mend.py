"""Small repairs of code that a model wrote: an import, a misspelled name, a `return` outside of functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mtchat.edits.library import cst
from mtchat.edits.scopes import read_program
from mtchat.edits.statements import read_statements, replace_statements
from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import BrokenCodeError, CodeTree, parse_tree


def rename_unbound(code: str, old: str, new: str) -> str:
    """The code with another name wherever it reads one that it does not bind itself; attributes stay."""
    try:
        return apply_edits(code, rename_unbound_edits(parse_tree(code), old, new))
    except (BrokenCodeError, RecursionError):
        return code


def rename_unbound_edits(tree: CodeTree, old: str, new: str) -> Iterator[TextEdit]:
    program = read_program([tree])
    for use in program.uses:
        if use.node.value == old and use.home is program.module and old not in program.module.bound:
            span = tree.span(use.node)
            yield TextEdit(span.start, span.end, new)


def print_returns(code: str) -> str:
    """The code with each `return` outside of functions replaced by a print of its value."""
    try:
        tree = parse_tree(code)
        returns = list(returns_outside(tree.module))
        edits = [edit for each in returns for edit in print_edits(tree, each)]
    except (BrokenCodeError, RecursionError):
        return code
    return apply_edits(code, edits) if all(each.value for each in returns) else code


def print_edits(tree: CodeTree, node: cst.Return) -> Iterator[TextEdit]:
    """The edits that make a print of a return."""
    if node.value is not None:
        whole = tree.span(node)
        first = tree.span(node.value.lpar[0] if node.value.lpar else node.value).start
        yield TextEdit(whole.start, first, "print(")
        yield TextEdit(whole.end, whole.end, ")")


def add_imports(code: str, imports: Sequence[str]) -> str:
    """Code with imports added before it, but after its docstring and `__future__` imports."""
    try:
        block = read_statements(code)
    except BrokenCodeError:
        return "\n".join([*imports, code])
    first = next(
        (at for at, each in enumerate(block.statements) if not stands_first(each.node, at)),
        len(block.statements),
    )
    if not imports or not first:
        return "\n".join([*imports, code])
    return replace_statements(code, {first - 1: [block.text(first - 1), *imports]})


def stands_first(node: cst.CSTNode, place: int) -> bool:
    """Whether a statement must come before all others."""
    match node:
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return place == 0
        case cst.ImportFrom(module=cst.Name(value="__future__")):
            return True
    return False


def returns_outside(node: cst.CSTNode) -> Iterator[cst.Return]:
    """The return statements outside of functions."""
    for each in node.children:
        if isinstance(each, cst.Return):
            yield each
        elif not isinstance(each, cst.FunctionDef | cst.BaseExpression):
            yield from returns_outside(each)
