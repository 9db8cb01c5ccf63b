"""What code binds at its top level, and how: as a function, a class, an import, a value, in a loop."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from mtchat.session.names import OWN_SCOPE, blocks_of, dump, parse_module, unparse
from mtchat.session.outcome import IMPORTED


class BoundAs(StrEnum):
    """How a name is bound; each member is what to call such a name in a sentence."""

    FUNCTION = "a function"
    CLASS = "a class"
    IMPORT = IMPORTED
    VALUE = "a value"
    LOOP = "a loop variable"

    @property
    def is_definition(self) -> bool:
        return self in (BoundAs.FUNCTION, BoundAs.CLASS)


@dataclass(frozen=True)
class Binding:
    """One binding of a name: the definition, the import, or the expression that gives the value.

    `node` is None where no expression gives the value as a whole, as in a loop.
    """

    name: str
    way: BoundAs
    node: ast.AST | None = None

    @property
    def is_module(self) -> bool:
        """Whether an import binds a module, and not something in it."""
        return isinstance(self.node, ast.alias)

    def is_like(self, other: "Binding") -> bool:
        """Whether both bind the name by the same code."""
        if self.node is None or other.node is None:
            return False
        return without_docstrings(self.node) == without_docstrings(other.node)


@lru_cache(maxsize=4096)
def bindings_of(code: str) -> tuple[Binding, ...]:
    """The bindings of a chunk in their order; none where it does not parse.

    Augmented assignments and annotations without a value are none, since they give no new meaning. The chunks
    of a long session are read once. The nodes belong to all callers: they must not be changed.
    """
    module = parse_module(code)
    try:
        return tuple(bindings_in(module.body)) if module else ()
    except RecursionError:
        return ()


def bindings_in(body: Sequence[ast.stmt]) -> Iterator[Binding]:
    for statement in body:
        yield from bindings_by(statement)
        if not isinstance(statement, OWN_SCOPE):
            for block in blocks_of(statement):
                yield from bindings_in(block)


def bindings_by(statement: ast.stmt) -> Iterator[Binding]:
    """The bindings of a statement itself, without those in its blocks."""
    match statement:
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            yield Binding(name, BoundAs.FUNCTION, statement)
        case ast.ClassDef(name):
            yield Binding(name, BoundAs.CLASS, statement)
        case ast.Import(names) | ast.ImportFrom(_, names):
            for alias in names:
                name = alias.asname or alias.name.partition(".")[0]
                inside = getattr(statement, "module", None)
                part = ast.Constant(f"{inside}:{alias.name}")
                yield Binding(name, BoundAs.IMPORT, part if inside else alias)
        case ast.Assign(targets, value):
            for target in targets:
                yield from assigned(target, value)
        case ast.AnnAssign(target, _, ast.expr() as value):
            yield from assigned(target, value)
        case ast.For(target) | ast.AsyncFor(target):
            yield from (Binding(name, BoundAs.LOOP) for name in stored_names(target))
        case ast.With(items) | ast.AsyncWith(items):
            for item in items:
                if item.optional_vars is not None:
                    yield from (Binding(name, BoundAs.LOOP) for name in stored_names(item.optional_vars))


def assigned(target: ast.expr, value: ast.expr) -> Iterator[Binding]:
    """The bindings of an assignment to a target, which may be a tuple."""
    match target, value:
        case ast.Name(name), ast.Lambda():
            yield Binding(name, BoundAs.FUNCTION, value)
        case ast.Name(name), _:
            yield Binding(name, BoundAs.VALUE, value)
        case ((ast.Tuple(parts) | ast.List(parts)), (ast.Tuple(values) | ast.List(values))) if len(
            parts
        ) == len(values) and not any(isinstance(each, ast.Starred) for each in (*parts, *values)):
            for part, each in zip(parts, values, strict=True):
                yield from assigned(part, each)
        case ((ast.Tuple() | ast.List() | ast.Starred()), _):
            yield from (Binding(name, BoundAs.VALUE) for name in stored_names(target))


def stored_names(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def without_docstrings(node: ast.AST) -> str:
    """The tree of code as text, without docstrings and annotations, which change nothing that it does."""
    tree = ast.parse(unparse(node)) if isinstance(node, ast.stmt | ast.expr) else node
    for each in ast.walk(tree):
        match each:
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body) | ast.ClassDef(body=body):
                if len(body) > 1 and ast.get_docstring(each) is not None:
                    del body[0]
                if not isinstance(each, ast.ClassDef):
                    each.returns = None
            case ast.arg():
                each.annotation = None
    return dump(tree)


@dataclass(frozen=True)
class Signature:
    """How many positional arguments a function takes, and the names of those that it needs by keyword."""

    least: int
    most: float
    keywords: frozenset[str] = frozenset()

    def accepts(self, other: "Signature") -> bool:
        """Whether every call that fits the other signature fits this one, as far as arguments are counted."""
        fits = self.least <= other.least and self.most >= other.most
        return fits and self.keywords <= other.keywords


def signature_of(node: ast.AST | None) -> Signature | None:
    """The signature of a function definition or lambda; None for anything else, and for decorated ones."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return None
    if getattr(node, "decorator_list", None):
        return None
    given = node.args
    count = len(given.posonlyargs) + len(given.args)
    needed = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return Signature(
        count - len(given.defaults),
        float("inf") if given.vararg else count,
        frozenset(each.arg for each, default in needed if default is None),
    )
