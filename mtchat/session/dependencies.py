"""Which turns use what other turns made: names, as far as the code shows them."""

import ast
import symtable
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mtchat.session.english import join_words
from mtchat.session.names import bound, symbols, tree
from mtchat.session.turn import Turn

OWN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")
UNCHANGING = ("print", "len", "display")
MOST = 4  # names that are told of together


@dataclass(frozen=True)
class Names:
    """What a chunk does with names: it reads what it has not bound itself, binds, and changes in place."""

    reads: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Use:
    """Turn `by` reads a name that turn `of` was the last to bind, or has changed in place since."""

    by: int
    name: str
    of: int


def names(code: str) -> Names:
    """The names of a chunk; none where it does not parse. Functions read when they are called."""
    module = tree(code)
    if module is None:
        return Names()
    binds = bound(code)
    try:
        reads = late(code) - binds | early(module)
    except RecursionError:
        return Names(frozenset(), binds)
    return Names(frozenset(reads), binds, frozenset(changed(module.body)))


def uses(codes: Sequence[str]) -> tuple[Use, ...]:
    """Each use of one turn's names by a later one, in the order of the turns."""
    makers: dict[str, tuple[int, ...]] = {}
    found: list[Use] = []
    for number, code in enumerate(codes, start=1):
        here = names(code)
        for name in sorted(here.reads & makers.keys()):
            found += [Use(number, name, maker) for maker in makers[name]]
        for name in here.changes - here.binds:
            makers[name] = (*makers.get(name, ()), number)
        makers.update((name, (number,)) for name in here.binds)
    return tuple(found)


def users(path: Sequence[Turn], number: int) -> Mapping[str, tuple[int, ...]]:
    """By each name of a turn that later ones use: those turns."""
    found: dict[str, tuple[int, ...]] = {}
    for use in uses([turn.chunk for turn in path]):
        if use.of == number:
            found[use.name] = (*found.get(use.name, ()), use.by)
    return found


def reached(path: Sequence[Turn], numbers: Iterable[int]) -> frozenset[int]:
    """The turns that use what these made, or what came of it; and these."""
    found = set(numbers)
    for use in uses([turn.chunk for turn in path]):
        if use.of in found:
            found.add(use.by)
    return frozenset(found)


def said(path: Sequence[Turn], number: int) -> str:
    """Which later turns use what of a turn: "turns 5 and 7 use `parse_row`"; "" where none does."""
    together: dict[tuple[int, ...], list[str]] = {}
    for name, turns in users(path, number).items():
        together.setdefault(turns, []).append(name)
    return "; ".join(
        f"{numbered(turns)} use{'s' if len(turns) == 1 else ''} {join_words(shortened(each))}"
        for turns, each in together.items()
    )


def numbered(turns: Sequence[int]) -> str:
    return f"turn{'' if len(turns) == 1 else 's'} {join_words([str(turn) for turn in turns])}"


def shortened(each: Sequence[str]) -> list[str]:
    words = [f"`{name}`" for name in each]
    return words if len(words) <= MOST else [*words[: MOST - 1], f"{len(words) - MOST + 1} more names"]


def late(code: str) -> set[str]:
    """Global names that the functions of a chunk read, whenever they are called."""
    table = symbols(code)
    return {name for name, now in globals_read(table) if not now} if table else set()


def early(module: ast.Module) -> set[str]:
    """Names that are read at top level before the chunk itself has bound them."""
    found: set[str] = set()
    known: set[str] = set()
    for code, binds in steps(module.body):
        table = symbols(code)
        found |= {name for name, now in globals_read(table) if now and name not in known} if table else set()
        known |= binds
    return found


def steps(body: Iterable[ast.stmt]) -> Iterator[tuple[str, set[str]]]:
    """What is done at top level in its order: the code of each step, and the names that it binds."""
    for statement in body:
        blocks = list(inner(statement))
        if not blocks or isinstance(statement, OWN):
            code = ast.unparse(statement)
            if isinstance(statement, ast.AugAssign):
                yield ast.unparse(statement.target), set()
            yield code, set(bound(code))
            continue
        for part in ast.iter_child_nodes(statement):
            if not isinstance(part, ast.stmt):
                yield header(part)
        for block in blocks:
            yield from steps(block)


def inner(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of a compound statement, in their order."""
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        for part in getattr(statement, name, []):
            if isinstance(part, ast.stmt):
                yield [part]
            else:
                yield part.body


def header(part: ast.AST) -> tuple[str, set[str]]:
    """What a compound statement says outside of its blocks: conditions, what is looped over, targets."""
    stored = {
        name
        for node in walk(part)
        for name in (getattr(node, "id", None), getattr(node, "name", None))
        if isinstance(name, str) and not isinstance(getattr(node, "ctx", None), ast.Load)
    }
    return "\n".join(map(ast.unparse, read(part))), stored


def read(part: ast.AST) -> Iterator[ast.expr]:
    """The largest expressions in a part of a statement that are read there."""
    if isinstance(part, ast.expr) and not isinstance(getattr(part, "ctx", None), ast.Store):
        yield part
        return
    for child in ast.iter_child_nodes(part):
        if not isinstance(child, ast.stmt):
            yield from read(child)


def walk(part: ast.AST) -> Iterator[ast.AST]:
    """A node and all within it that is not in a block of its own."""
    yield part
    for child in ast.iter_child_nodes(part):
        if not isinstance(child, ast.stmt):
            yield from walk(child)


def globals_read(table: symtable.SymbolTable, now: bool = True) -> Iterator[tuple[str, bool]]:
    """Global names that code reads, each with whether that is at once: in no function but comprehensions."""
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (table.get_type() == "module" or symbol.is_global()):
            yield symbol.get_name(), now
    for child in table.get_children():
        yield from globals_read(
            child, now and (child.get_type() == "class" or child.get_name() in COMPREHENSIONS)
        )


def changed(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names whose value is changed in place: a part is set or deleted, or a call gives nothing else."""
    for statement in body:
        if isinstance(statement, OWN):
            continue
        yield from changed(each for block in inner(statement) for each in block)
        match statement:
            case ast.Expr(ast.Call(function, arguments)):
                if not isinstance(function, ast.Name):
                    yield from filter(None, [root(function)])
                if root(function) not in UNCHANGING:
                    yield from filter(None, map(root, arguments))
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Delete():
                targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
                yield from filter(None, (root(each) for each in targets if not isinstance(each, ast.Name)))


def root(part: ast.AST | None) -> str:
    """The name that a chain of attributes and items begins with; "" where that is something else."""
    while isinstance(part, ast.Attribute | ast.Subscript):
        part = part.value
    return part.id if isinstance(part, ast.Name) else ""
