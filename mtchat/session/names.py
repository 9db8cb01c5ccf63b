"""Python code read without running it: the names that it binds and reads, and which turns use which."""

import ast
import copy
import re
import symtable
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mtchat.session.text import join_words
from mtchat.session.turn import Turn

LONGEST_INTEGER = 14_000  # bits; Python writes integers of up to 4,300 digits
PART_END = re.compile(r"\n\n+(?=\S)")  # where a part of a program ends that may be code by itself


@lru_cache(maxsize=64)
def bound_names(code: str) -> frozenset[str]:
    """Names assigned, imported or defined at top level; none where the code does not parse."""
    parts = parts_of(code)
    if len(parts) > 1 and "__future__" not in code and "\nglobal" not in code:
        found = [names_bound_in(part) for part in parts]
        known = [names for names in found if names is not None]
        if len(known) == len(found):
            return frozenset().union(*known)
    return names_bound_in(code) or frozenset()


def parts_of(code: str) -> list[str]:
    """A program in parts that most often are code by themselves; joined by blank lines they are the program.

    What is read once for each part costs little for a program that grows part by part.
    """
    return PART_END.split(code)


@lru_cache(maxsize=4096)
def names_bound_in(code: str) -> frozenset[str] | None:
    """The same, without taking the code apart; None where it does not parse."""
    table = symbol_table(code)
    if table is None:
        return None
    return frozenset(
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    )


def parse_module(code: str) -> ast.Module | None:
    """The code as a module; None where it is not Python, or is nested too deeply to be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an escape such as "\\d", which is for the run to tell
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parses(code: str) -> bool:
    """Whether the code is a Python module."""
    return symbol_table(code) is not None


def compiles(code: str) -> bool:
    """Whether Python takes the code as one file; unlike `parses`, it finds a `from __future__` too late."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, "<chunk>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def symbol_table(code: str) -> symtable.SymbolTable | None:
    """The compiler's table of a module; None where it does not parse, or is nested too deeply to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in a string: the run says so, where it says anything
        try:
            return symtable.symtable(code, "<chunk>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")
UNCHANGING = ("print", "len", "display")
MOST_NAMES = 4  # names that are told of together


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


def names_of(code: str) -> Names:
    """The names of a chunk; none where it does not parse. Functions read when they are called."""
    module = parse_module(code)
    if module is None:
        return Names()
    binds = bound_names(code)
    try:
        reads = names_read_in_functions(code) - binds | names_read_at_once(module)
    except RecursionError:
        return Names(frozenset(), binds)
    return Names(frozenset(reads), binds, frozenset(names_changed(module.body)))


def find_uses(codes: Sequence[str]) -> tuple[Use, ...]:
    """Each use of one turn's names by a later one, in the order of the turns."""
    makers: dict[str, tuple[int, ...]] = {}
    found: list[Use] = []
    for number, code in enumerate(codes, start=1):
        here = names_of(code)
        for name in sorted(here.reads & makers.keys()):
            found += [Use(number, name, maker) for maker in makers[name]]
        for name in here.changes - here.binds:
            makers[name] = (*makers.get(name, ()), number)
        makers.update((name, (number,)) for name in here.binds)
    return tuple(found)


def users_of_names(path: Sequence[Turn], number: int) -> Mapping[str, tuple[int, ...]]:
    """By each name of a turn that later ones use: those turns."""
    found: dict[str, tuple[int, ...]] = {}
    for use in find_uses([turn.chunk for turn in path]):
        if use.of == number:
            found[use.name] = (*found.get(use.name, ()), use.by)
    return found


def turns_depending_on(path: Sequence[Turn], numbers: Iterable[int]) -> frozenset[int]:
    """The turns that use what these made, or what came of it; and these."""
    found = set(numbers)
    for use in find_uses([turn.chunk for turn in path]):
        if use.of in found:
            found.add(use.by)
    return frozenset(found)


def describe_users(path: Sequence[Turn], number: int) -> str:
    """Which later turns use what of a turn: "turns 5 and 7 use `parse_row`"; "" where none does."""
    together: dict[tuple[int, ...], list[str]] = {}
    for name, turns in users_of_names(path, number).items():
        together.setdefault(turns, []).append(name)
    return "; ".join(
        f"{list_turn_numbers(turns)} use{'s' if len(turns) == 1 else ''} {join_words(shorten_names(each))}"
        for turns, each in together.items()
    )


def list_turn_numbers(turns: Sequence[int]) -> str:
    return f"turn{'' if len(turns) == 1 else 's'} {join_words([str(turn) for turn in turns])}"


def shorten_names(each: Sequence[str]) -> list[str]:
    words = [f"`{name}`" for name in each]
    return (
        words
        if len(words) <= MOST_NAMES
        else [*words[: MOST_NAMES - 1], f"{len(words) - MOST_NAMES + 1} more names"]
    )


def names_read_in_functions(code: str) -> set[str]:
    """Global names that the functions of a chunk read, whenever they are called."""
    table = symbol_table(code)
    return {name for name, now in globals_read(table) if not now} if table else set()


def names_read_at_once(module: ast.Module) -> set[str]:
    """Names that are read at top level before the chunk itself has bound them."""
    found: set[str] = set()
    known: set[str] = set()
    for code, binds in execution_steps(module.body):
        table = symbol_table(code)
        found |= {name for name, now in globals_read(table) if now and name not in known} if table else set()
        known |= binds
    return found


def unparse(node: ast.AST) -> str:
    """Code for a syntax tree; like ast.unparse, but for all code that can run.

    ast.unparse refuses integers of more than 4,300 digits and, before Python 3.12, characters that cannot be
    printed within f-strings. Other texts stand for them then: the code has the same names but other values.
    """
    try:
        return ast.unparse(node)
    except ValueError:
        return ast.unparse(PlainConstants().visit(copy.deepcopy(node)))


def dump(node: ast.AST) -> str:
    """What a syntax tree consists of, without places; like ast.dump, but also with very long integers."""
    try:
        return ast.dump(node)
    except ValueError:
        return ast.dump(PlainConstants().visit(copy.deepcopy(node)))


class PlainConstants(ast.NodeTransformer):
    """Replaces constants that cannot be written, other ones by other texts."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        match node.value:
            case str() as text:
                node.value = "".join(
                    f"<{ord(each):x}>" if each in "\\'\"" or not each.isprintable() else each for each in text
                )
            case int() as number if number.bit_length() > LONGEST_INTEGER:
                node.value = hex(number)
        return node


def execution_steps(body: Iterable[ast.stmt]) -> Iterator[tuple[str, set[str]]]:
    """What is done at top level in its order: the code of each step, and the names that it binds."""
    for statement in body:
        blocks = list(blocks_of(statement))
        if not blocks or isinstance(statement, OWN_SCOPE):
            code = unparse(statement)
            if isinstance(statement, ast.AugAssign):
                yield unparse(statement.target), set()
            yield code, set(bound_names(code))
            continue
        for part in ast.iter_child_nodes(statement):
            if not isinstance(part, ast.stmt):
                yield header_of(part)
        for block in blocks:
            yield from execution_steps(block)


def blocks_of(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of a compound statement, in their order."""
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        for part in getattr(statement, name, []):
            if isinstance(part, ast.stmt):
                yield [part]
            else:
                yield part.body


def header_of(part: ast.AST) -> tuple[str, set[str]]:
    """What a compound statement says outside of its blocks: conditions, what is looped over, targets."""
    stored = {
        name
        for node in walk_outside_blocks(part)
        for name in (getattr(node, "id", None), getattr(node, "name", None))
        if isinstance(name, str) and not isinstance(getattr(node, "ctx", None), ast.Load)
    }
    return "\n".join(map(unparse, expressions_read(part))), stored


def expressions_read(part: ast.AST) -> Iterator[ast.expr]:
    """The largest expressions in a part of a statement that are read there."""
    if isinstance(part, ast.expr) and not isinstance(getattr(part, "ctx", None), ast.Store):
        yield part
        return
    for child in ast.iter_child_nodes(part):
        if not isinstance(child, ast.stmt):
            yield from expressions_read(child)


def walk_outside_blocks(part: ast.AST) -> Iterator[ast.AST]:
    """A node and all within it that is not in a block of its own."""
    yield part
    for child in ast.iter_child_nodes(part):
        if not isinstance(child, ast.stmt):
            yield from walk_outside_blocks(child)


def globals_read(table: symtable.SymbolTable, now: bool = True) -> Iterator[tuple[str, bool]]:
    """Global names that code reads, each with whether that is at once: in no function but comprehensions."""
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (table.get_type() == "module" or symbol.is_global()):
            yield symbol.get_name(), now
    for child in table.get_children():
        yield from globals_read(
            child, now and (child.get_type() == "class" or child.get_name() in COMPREHENSIONS)
        )


def names_changed(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names whose value is changed in place: a part is set or deleted, or a call gives nothing else."""
    for statement in body:
        if isinstance(statement, OWN_SCOPE):
            continue
        yield from names_changed(each for block in blocks_of(statement) for each in block)
        match statement:
            case ast.Expr(ast.Call(function, arguments)):
                if not isinstance(function, ast.Name):
                    yield from filter(None, [root_name(function)])
                if root_name(function) not in UNCHANGING:
                    yield from filter(None, map(root_name, arguments))
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Delete():
                targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
                yield from filter(
                    None, (root_name(each) for each in targets if not isinstance(each, ast.Name))
                )


def root_name(part: ast.AST | None) -> str:
    """The name that a chain of attributes and items begins with; "" where that is something else."""
    while isinstance(part, ast.Attribute | ast.Subscript):
        part = part.value
    return part.id if isinstance(part, ast.Name) else ""
