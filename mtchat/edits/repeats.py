"""Drops statements that do again what earlier code did, where that provably has no effect.

These are imports that are there, functions and classes that are defined by the same code, and data assigned
by the same code; none of them may have been bound again, or changed in place, since then. What cannot be told
from the syntax tree alone stays.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from mtchat.session.names import bound_names, compiles, dump, parse_module, unparse

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
UNREADABLE = {"exec", "eval", "globals", "locals", "vars", "setattr", "delattr", "reload", "__dict__"}
ATOMS = {"len", "sum", "abs", "round", "str", "int", "float", "bool", "repr", "ord", "chr", "any", "all"}
COPIES = {"sorted", "list", "set", "tuple", "frozenset", "dict"}
PICKS = {"min", "max"}
LOOKS = {*ATOMS, "print"}  # calls that keep no reference to what is within an argument
READS = {*LOOKS, *COPIES, *PICKS, "enumerate", "zip", "reversed", "range"}
VIEWS = {"keys", "values"}
LISTS = {"split", "rsplit", "splitlines"}
METHODS = {"items", "keys", "values", "get", "copy", "count", "index", "union", "intersection", "difference"}


class ValueKind(IntEnum):
    """What a value is made of: nothing that can change, atoms in a container, or containers in it too."""

    ATOM = 0
    FLAT = 1
    DEEP = 2


def drop_repeats(code: str, before: str) -> str:
    """The code without statements that repeat the program before it, or its own earlier ones, to no effect.

    Code that does nothing else stays as it is: perhaps it is what was asked for.
    """
    gone = find_repeats(code, before)
    return without(code, gone) if gone and not only_repeats(code, before) else code


def only_repeats(code: str, before: str) -> bool:
    """Whether code does nothing but what the program before it did."""
    module = parse_module(code)
    return module is not None and bool(module.body) and len(find_repeats(code, before)) == len(module.body)


@lru_cache(maxsize=16)
def find_repeats(code: str, before: str) -> tuple[ast.stmt, ...]:
    """The statements of some code that repeat earlier ones, of the program before it too, to no effect."""
    module = parse_module(code)
    if module is None or not may_bind_again(module.body, before):
        return ()
    earlier = parse_module(before)
    if earlier is None or "\r" in code or is_unreadable(earlier, module):
        return ()
    found = list[ast.stmt]()
    try:
        if not may_repeat(earlier.body, module.body) or not (compiles(code) and compiles(before)):
            return ()
        history = history_of(earlier.body, module.body)
        for statement in module.body:
            if shares_no_line(statement, module.body) and history.repeats(statement):
                found.append(statement)
            else:
                history.add(statement)
    except RecursionError:
        return ()
    return tuple(found)


def may_bind_again(new: Sequence[ast.stmt], before: str) -> bool:
    """Whether new statements bind a name that the program before them, or they themselves, have bound.

    The names of a long program are known part by part, so that this costs little.
    """
    names = [name for statement in new for name, _ in effects(statement)]
    return len(set(names)) < len(names) or not bound_names(before).isdisjoint(names)


def may_repeat(earlier: Sequence[ast.stmt], new: Sequence[ast.stmt]) -> bool:
    """Whether any new statement binds what a statement before it bound, so that it is worth a closer look."""
    known = {what for statement in earlier for _, what in effects(statement)}
    for statement in new:
        found = {what for _, what in effects(statement)}
        if found and found <= known:
            return True
        known |= found
    return False


def history_of(earlier: Sequence[ast.stmt], new: Sequence[ast.stmt]) -> "StatementHistory":
    """The history of earlier statements, in a program that goes on with new ones."""
    everything = ast.Module([*earlier, *new], [])
    attributes = (node for node in ast.walk(everything) if isinstance(node, ast.Attribute))
    history = StatementHistory(
        names_bound(everything.body) & set(dir(builtins)),
        frozenset(node.attr for node in attributes if not isinstance(node.ctx, ast.Load)),
    )
    for statement in earlier:
        history.add(statement)
    return history


def is_unreadable(*modules: ast.Module) -> bool:
    """Whether names may be bound in ways that the tree does not show."""
    for node in (node for module in modules for node in ast.walk(module)):
        match node:
            case ast.Global() | ast.alias("*") | ast.ImportFrom("__future__"):
                return True
            case ast.Name(name) | ast.Attribute(attr=name) if name in UNREADABLE:
                return True
    return False


def shares_no_line(statement: ast.stmt, body: Sequence[ast.stmt]) -> bool:
    """Whether a statement has its lines for itself."""
    first, last = lines_of(statement)
    return all(each is statement or lines_of(each)[1] < first or last < lines_of(each)[0] for each in body)


def lines_of(statement: ast.stmt) -> tuple[int, int]:
    """The first and last line of a statement, decorators included, from 0."""
    above = [each.lineno for each in getattr(statement, "decorator_list", [])]
    return min([statement.lineno, *above]) - 1, (statement.end_lineno or statement.lineno) - 1


@dataclass
class StatementHistory:
    """The statements of a program in order, with what was last bound to each name, and where.

    `shadowed` are builtin names that the program binds, `stored` the attributes that it sets. `bindings` has
    for each name the place of the statement that bound it last and what that bound, as text; `plain` the
    kinds of values that such a statement computed from constants and plain values, and that no other name
    had then.
    """

    shadowed: frozenset[str]
    stored: frozenset[str]
    statements: list[ast.stmt] = field(default_factory=list)
    bindings: dict[str, tuple[int, str]] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    plain: dict[str, ValueKind] = field(default_factory=dict)

    def add(self, statement: ast.stmt) -> None:
        """Goes on to the next statement."""
        place, bound = len(self.statements), names_bound([statement])
        kind = self.kind_assigned(statement)
        self.statements.append(statement)
        for name in bound:
            self.bindings[name] = (place, "")
            self.plain.pop(name, None)
        found = list(effects(statement))
        for name, what in found:
            self.bindings[name] = (place, what)
            if kind is ValueKind.ATOM or (kind is not None and len(found) == 1):
                self.plain[name] = kind
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.imported |= {what for _, what in imports(statement)}

    def repeats(self, statement: ast.stmt) -> bool:
        """Whether a statement that comes next does again what was done, and nothing has changed it since."""
        if isinstance(statement, ast.Import | ast.ImportFrom):
            same = all(self.bindings.get(name, (0, ""))[1] == what for name, what in effects(statement))
            return same and all(what in self.imported for _, what in imports(statement))
        found = list(effects(statement))
        if not found or any(self.bindings.get(name, (0, ""))[1] != what for name, what in found):
            return False
        places = {self.bindings[name][0] for name, _ in found}
        if isinstance(statement, DEFINITIONS):
            return self.can_be_defined_again(statement)
        kind = self.kind_assigned(statement)
        if kind is None or len(places) > 1 or (kind and len(found) > 1):
            return False
        since = places.pop()
        read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        return all(self.is_unchanged(name, since) for name in read if name in self.bindings)

    def can_be_defined_again(self, statement: ast.stmt) -> bool:
        """Whether defining a function or class by the same code once more has no effect."""
        match statement:
            case ast.ClassDef(name=name, bases=bases, keywords=[], body=body, decorator_list=[]):
                known = all(isinstance(base, ast.Name) and base.id not in self.bindings for base in bases)
                return known and name not in self.stores_into() and all(map(self.is_plain_member, body))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return statement.name not in self.stores_into() and is_plain_function(statement)
        return False

    def is_plain_member(self, statement: ast.stmt) -> bool:
        """Whether a part of a class has no state that defining the class again would reset."""
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return is_plain_function(statement)
            case ast.Pass() | ast.Expr(ast.Constant()):
                return True
            case ast.Assign([ast.Name(name)], ast.Constant()):
                return name not in self.stored
        return False

    def stores_into(self) -> set[str]:
        """The names of which an attribute is set somewhere, as of a function that counts its calls."""
        return {
            node.value.id
            for statement in self.statements
            for node in ast.walk(statement)
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
            if isinstance(node.value, ast.Name)
        }

    def is_unchanged(self, name: str, since: int) -> bool:
        """Whether a name has the value still that it had after a statement, in all its parts.

        Functions count wherever they are defined, since they may have been called.
        """
        own = self.bindings[name][0]
        if own > since or name not in self.plain:
            return False
        if self.plain[name] is ValueKind.ATOM:
            return True
        looks = LOOKS if self.plain[name] is ValueKind.DEEP else READS
        for place, statement in enumerate(self.statements):
            for tree in [statement] if place > own else list(functions_in(statement)):
                if not all(self.only_looks(around, looks) for around in uses(tree, name)):
                    return False
        return True

    def only_looks(self, around: Sequence[ast.AST], looks: set[str]) -> bool:
        """Whether a use of a name, given with the nodes around it, neither changes nor keeps the value."""
        use, parent, above = around
        match parent:
            case ast.Call(ast.Name(function), arguments) if use in arguments:
                return function in looks - self.shadowed
            case ast.Starred() if isinstance(above, ast.Call) and isinstance(above.func, ast.Name):
                return looks is READS and above.func.id in looks - self.shadowed
            case ast.Compare() | ast.FormattedValue():
                return True
            case ast.Subscript(value, ctx=ast.Load()) if value is use:
                return looks is READS
            case ast.For(iter=value) | ast.comprehension(iter=value) if value is use:
                return looks is READS
            case ast.Attribute(attr=method) if isinstance(above, ast.Call) and above.func is parent:
                return looks is READS and method in METHODS
        return False

    def kind_assigned(self, statement: ast.stmt) -> ValueKind | None:
        """The kind of value that an assignment to names computes from plain values; None for all else."""
        match statement:
            case ast.Assign(targets, value) if all(isinstance(each, ast.Name) for each in targets):
                return self.kind_alone(value, {})
            case ast.AnnAssign(ast.Name(), ast.Name(), ast.expr() as value):
                return self.kind_alone(value, {})
        return None

    def kind_alone(self, value: ast.expr, inner: Mapping[str, ValueKind]) -> ValueKind | None:
        """The kind of an expression; None where it may be another name's value that can change."""
        kind = self.kind_of(value, inner)
        is_part = isinstance(value, ast.Name) or (isinstance(value, ast.Call) and is_view(value))
        return None if is_part and kind is not ValueKind.ATOM else kind

    def kind_of(self, value: ast.expr, inner: Mapping[str, ValueKind]) -> ValueKind | None:
        """The kind of an expression that has no effect and depends on plain values alone; None otherwise."""
        match value:
            case ast.Constant():
                return ValueKind.ATOM
            case ast.Name(name):
                return inner.get(name, self.plain.get(name))
            case ast.List(parts) | ast.Set(parts):
                return self.around(parts, inner)
            case ast.Tuple(parts):
                kind = self.around(parts, inner)
                return ValueKind.ATOM if kind is ValueKind.FLAT else kind
            case ast.Dict(keys, values) if None not in keys:
                return self.around([*filter(None, keys), *values], inner)
            case ast.UnaryOp(_, part):
                return ValueKind.ATOM if self.kind_of(part, inner) is ValueKind.ATOM else None
            case ast.BinOp(left, _, right):
                kinds = [self.kind_of(left, inner), self.kind_of(right, inner)]
                return largest(kinds) if ValueKind.DEEP not in kinds else None
            case ast.Compare(left, _, others):
                return ValueKind.ATOM if self.around([left, *others], inner) is not None else None
            case ast.JoinedStr(parts) | ast.BoolOp(values=parts):
                return ValueKind.ATOM if self.around(parts, inner) is ValueKind.FLAT else None
            case ast.FormattedValue(part, format_spec=None):
                return ValueKind.ATOM if self.kind_of(part, inner) is not None else None
            case ast.Subscript(part, index) if not isinstance(index, ast.Slice):
                whole, at = self.kind_of(part, inner), self.kind_of(index, inner)
                return (
                    ValueKind.ATOM
                    if at is ValueKind.ATOM and whole in (ValueKind.ATOM, ValueKind.FLAT)
                    else None
                )
            case ast.Call(ast.Name(function), arguments, []) if function not in self.shadowed:
                return self.kind_of_call(function, [self.kind_of(each, inner) for each in arguments])
            case ast.Call(ast.Attribute(part, method), arguments, []):
                return kind_of_method(
                    method, self.kind_of(part, inner), [self.kind_of(each, inner) for each in arguments]
                )
            case ast.ListComp(part, [loop]) | ast.SetComp(part, [loop]):
                return self.kind_in_loop([part], loop, inner)
            case ast.DictComp(key, part, [loop]):
                return self.kind_in_loop([key, part], loop, inner)
        return None

    def kind_of_call(self, function: str, kinds: Sequence[ValueKind | None]) -> ValueKind | None:
        """The kind of what a builtin function gives for arguments of some kinds."""
        if None in kinds or ValueKind.DEEP in kinds:
            return None
        if function in (*ATOMS, *PICKS, "range"):
            return ValueKind.ATOM
        return ValueKind.FLAT if function in COPIES else None

    def kind_in_loop(
        self, parts: Sequence[ast.expr], loop: ast.comprehension, inner: Mapping[str, ValueKind]
    ) -> ValueKind | None:
        """The kind of a container of what is computed for each element of a flat value."""
        over = self.kind_of(loop.iter, inner)
        if (
            loop.is_async
            or not isinstance(loop.target, ast.Name)
            or over not in (ValueKind.ATOM, ValueKind.FLAT)
        ):
            return None
        known = {**inner, loop.target.id: ValueKind.ATOM}
        if any(self.kind_of(each, known) is None for each in loop.ifs):
            return None
        return self.around(parts, known)

    def around(self, parts: Iterable[ast.expr], inner: Mapping[str, ValueKind]) -> ValueKind | None:
        """The kind of a container with some parts."""
        kinds = [self.kind_alone(part, inner) for part in parts]
        if None in kinds:
            return None
        return ValueKind.FLAT if all(kind is ValueKind.ATOM for kind in kinds) else ValueKind.DEEP


def kind_of_method(
    method: str, of: ValueKind | None, arguments: Sequence[ValueKind | None]
) -> ValueKind | None:
    """The kind of what a method gives: those of texts and numbers change nothing, nor do views of a dict."""
    if of is ValueKind.ATOM and not {None, ValueKind.DEEP} & set(arguments):
        return ValueKind.FLAT if method in LISTS else ValueKind.ATOM
    return ValueKind.FLAT if of is ValueKind.FLAT and method in VIEWS and not arguments else None


def is_view(call: ast.Call) -> bool:
    """Whether a call may give a view of a dictionary, which changes with it."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in VIEWS


def largest(kinds: Sequence[ValueKind | None]) -> ValueKind | None:
    found = [kind for kind in kinds if kind is not None]
    return max(found) if len(found) == len(kinds) else None


def names_bound(body: Sequence[ast.stmt]) -> frozenset[str]:
    """The names that statements bind or delete, wherever in them."""
    return bound_names("\n".join(map(unparse, body)))


def effects(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """The names that a statement binds, each with a text that is the same where the same is bound."""
    match statement:
        case ast.Import(aliases):
            for each in aliases:
                root = each.name.partition(".")[0]
                yield each.asname or root, f"import {each.name if each.asname else root}"
        case ast.ImportFrom(source, aliases, level):
            for each in aliases:
                yield each.asname or each.name, f"from {'.' * level}{source} import {each.name}"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, dump(statement)
        case ast.Assign(targets) if all(isinstance(each, ast.Name) for each in targets):
            for target in targets:
                assert isinstance(target, ast.Name)
                yield target.id, dump(statement)
        case ast.AnnAssign(ast.Name(name), _, ast.expr()):
            yield name, dump(statement)


def imports(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The modules and names that are imported, each with the whole import as text."""
    for each in statement.names:
        source = (
            f"from {statement.level} {statement.module} " if isinstance(statement, ast.ImportFrom) else ""
        )
        yield each.name, f"{source}import {each.name} as {each.asname}"


def is_plain_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether defining a function evaluates nothing but constants and types."""
    if node.decorator_list:
        return False
    defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    given = [each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg)]
    types = [each for each in (*given, node.returns) if each is not None]
    calls = (each for part in types for each in ast.walk(part) if isinstance(each, ast.Call | ast.NamedExpr))
    return all(isinstance(each, ast.Constant) for each in defaults) and next(calls, None) is None


def functions_in(statement: ast.stmt) -> Iterator[ast.AST]:
    """The functions within a statement, whose code runs when they are called."""
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node


def uses(tree: ast.AST, name: str) -> Iterator[tuple[ast.AST, ast.AST, ast.AST]]:
    """Each use of a name, with the node around it and the one around that."""
    waiting: list[tuple[ast.AST, ast.AST, ast.AST]] = [(tree, tree, tree)]
    while waiting:
        node, parent, above = waiting.pop()
        if isinstance(node, ast.Name) and node.id == name:
            yield node, parent, above
        waiting += [(child, node, parent) for child in ast.iter_child_nodes(node)]


def without(code: str, gone: Sequence[ast.stmt]) -> str:
    """Code without some statements, and without the comments right above them that are about no other."""
    lines = code.split("\n")
    dropped = {line for each in gone for line in range(lines_of(each)[0], lines_of(each)[1] + 1)}
    for each in sorted(gone, key=lambda each: each.lineno):
        first, last = lines_of(each)
        above = comments_above(lines, first)
        after = next((line for line in range(last + 1, len(lines)) if lines[line].strip()), len(lines))
        alone = after == len(lines) or is_comment(lines[after])
        ends = after > last + 1 or after in dropped
        if alone or (ends and first - 1 in above):
            dropped |= above
    kept, after_gap = list[str](), False
    for number, line in enumerate(lines):
        if number in dropped:
            after_gap = True
        elif line.strip() or not after_gap or (kept and kept[-1].strip()):
            kept.append(line)
            after_gap = after_gap and not line.strip()
    return "\n".join(kept).strip("\n")


def comments_above(lines: Sequence[str], first: int) -> set[int]:
    """The lines of comments above a line, with or without blank lines between."""
    found, line = set[int](), first - 1
    while line >= 0 and not lines[line].strip():
        line -= 1
    while line >= 0 and is_comment(lines[line]):
        found.add(line)
        line -= 1
    return found


def is_comment(line: str) -> bool:
    return line.startswith("#")
