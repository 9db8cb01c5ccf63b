"""Finds what a chunk derives from invented data, from chance or the clock, all of which decides nothing.

"Define x with sample data" means any data: chunks that differ in the data alone are one interpretation.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from mtchat.session.names import bound_names, dump, parse_module

CHANCE = ("random", "secrets", "uuid")  # modules, and attributes of numpy, with random values
CLOCK = ("now", "today", "utcnow", "time", "perf_counter", "monotonic")
NEUTRAL = (0, 1, -1, "", None)  # usual initial values; booleans equal two of them
ADDRESS = re.compile(r"<[^<>]*\bat 0x[0-9a-fA-F]+[^<>]*>|0x[0-9a-fA-F]{6,}")
OBJECT = re.compile(r"<(?P<kind>[\w.]+)\b.*>", re.DOTALL)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


@dataclass
class ArbitraryParts:
    """The arbitrary parts of a chunk: the names that hold them, and whether they are `printed`.

    `loops` are loop variables, which are left over when a loop ends. `given` are the numbers and words in the
    instruction and the program before it. `returns` says that a function returns something arbitrary.
    """

    known: frozenset[str]
    given: frozenset[str]
    names: set[str] = field(default_factory=set)
    loops: set[str] = field(default_factory=set)
    printed: bool = False
    chance: set[str] = field(default_factory=set)
    returns: bool = False

    def walk(self, body: Sequence[ast.stmt], decided: bool = False) -> None:
        """Visits statements in order; `decided` if a condition on known values selects them."""
        for statement in body:
            self.statement(statement, decided)

    def statement(self, node: ast.stmt, decided: bool) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self.imported(node)
            case ast.Assign(targets, value):
                self.bind(targets, value, decided)
            case ast.AnnAssign(target, _, ast.expr() as value) | ast.AugAssign(target, _, value):
                self.bind([target], value, decided, adds=isinstance(node, ast.AugAssign))
            case ast.For(target, over, body, rest) | ast.AsyncFor(target, over, body, rest):
                self.loops |= loaded(target, ast.Store)
                self.bind([target], over, decided)
                self.walk([*body, *rest], decided)
            case ast.If(test, body, rest) | ast.While(test, body, rest):
                self.walk([*body, *rest], decided or not self.invented(test, decided))
            case ast.With(items, body) | ast.AsyncWith(items, body):
                for item in items:
                    self.loops |= loaded(item.optional_vars, ast.Store) if item.optional_vars else set()
                self.walk(body, decided)
            case ast.Try(body, handlers, rest, final):
                self.walk([*body, *rest, *final, *(each for one in handlers for each in one.body)], decided)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.function(node, decided)
            case ast.Return(ast.expr() as value):
                self.returns = self.returns or self.invented(value, decided)
            case ast.Expr(ast.Call() as call):
                self.call(call, decided)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, decided: bool) -> None:
        """A function that gives invented data is as arbitrary as the data, wherever it is called."""
        arguments = frozenset(each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg))
        inner = replace(
            self, known=self.known | arguments, names=self.names - arguments, loops=set(), returns=False
        )
        inner.walk(node.body, decided)
        if inner.returns:
            self.names.add(node.name)
        else:
            self.names.discard(node.name)

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        module = getattr(node, "module", "") or ""
        for alias in node.names:
            if {*module.split("."), alias.name.split(".")[0]} & set(CHANCE):
                self.chance.add(alias.asname or alias.name.split(".")[0])

    def bind(self, targets: Sequence[ast.expr], value: ast.expr, decided: bool, adds: bool = False) -> None:
        arbitrary = self.invented(value, decided) or (isinstance(value, DISPLAYS) and self.listed(value))
        for target in targets:
            if arbitrary:
                self.names |= root_names(target)
            elif isinstance(target, ast.Name) and not adds:
                self.names.discard(target.id)

    def call(self, call: ast.Call, decided: bool) -> None:
        """A call for its effect: it prints, or changes the object or the arguments."""
        values = [*call.args, *(each.value for each in call.keywords)]
        arbitrary = any(self.invented(value, decided) for value in values)
        match call.func:
            case ast.Name("print"):
                self.printed = self.printed or arbitrary
            case ast.Attribute(owner, _):
                if arbitrary:
                    self.names |= root_names(owner)
                if self.by_chance(call):
                    self.names |= {name for value in values for name in root_names(value)}
            case ast.Name(name) if name in self.chance:
                self.names |= {each for value in values for each in root_names(value)}

    def invented(self, value: ast.expr, decided: bool = False) -> bool:
        """Whether a value depends on something arbitrary, here or through the names it uses."""
        nodes = list(nodes_of(value))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        if names & self.names or any(isinstance(node, ast.Call) and self.by_chance(node) for node in nodes):
            return True
        slices = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
        displays = [node for node in nodes if isinstance(node, DISPLAYS) and id(node) not in slices]
        if any(self.listed(node, numbers=True) for node in displays):
            return True
        alone = not names & self.known
        return alone and not decided and any(self.strange(node) for node in nodes)

    def listed(self, node: ast.expr, numbers: bool = False) -> bool:
        """Whether a list, set or dictionary consists of literals that nobody gave."""
        values = [each for each in ast.walk(node) if isinstance(each, ast.Constant)]
        kinds = (int, float) if numbers else (int, float, str)
        plain = not any(isinstance(each, ast.Name | ast.Call) for each in ast.walk(node))
        return plain and any(isinstance(each.value, kinds) and self.strange(each) for each in values)

    def strange(self, node: ast.AST) -> bool:
        """Whether a node is a literal that nobody gave."""
        if not isinstance(node, ast.Constant) or node.value in NEUTRAL or isinstance(node.value, bool):
            return False
        return str(node.value).lower() not in self.given

    def by_chance(self, call: ast.Call) -> bool:
        """Whether a call's value comes from chance or the clock, as far as its module's name shows it."""
        if isinstance(call.func, ast.Name):
            return call.func.id in self.chance
        path = dotted_parts(call.func)
        drawn = bool({*CHANCE, *self.chance} & set(path[:-1]))
        return drawn or (len(path) > 1 and path[-1] in CLOCK and path[-2] in ("time", "datetime", "date"))


def arbitrary_parts(chunk: str, before: str, instruction: str) -> ArbitraryParts:
    """The arbitrary parts of a chunk for an instruction, after a program."""
    module = parse_module(chunk)
    text = f"{instruction}\n{before}".lower()
    given = frozenset([*re.findall(r"\d+(?:\.\d+)?|\w+", text), *re.findall(r"[\"']([^\"'\n]+)[\"']", text)])
    here = bound_names(chunk) if module else frozenset()
    found = ArbitraryParts(bound_names(before) | here, given)
    if module is None:
        return found
    found.known -= modules(f"{before}\n{chunk}")
    found.walk(module.body)
    return found


def uses_chance(source: str) -> bool:
    """Whether a program calls something that gives other values in each run, as far as names show it."""
    module = parse_module(source)
    found, nodes = ArbitraryParts(frozenset(), frozenset()), list(ast.walk(module)) if module else []
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.imported(node)
    return any(isinstance(node, ast.Call) and found.by_chance(node) for node in nodes)


def same_but_numbers(one: str, other: str) -> bool:
    """Whether two chunks differ only in numbers passed to calls: a hundred points, or fifty."""
    first, second = parse_module(one), parse_module(other)
    if first is None or second is None:
        return False
    return dump(Numberless().visit(first)) == dump(Numberless().visit(second))


class Numberless(ast.NodeTransformer):
    """Replaces all numbers passed to calls by one; 0 and 1 stay, since they are often options."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.args = [plain(each) for each in node.args]
        for each in node.keywords:
            each.value = plain(each.value)
        return node


def plain(value: ast.expr) -> ast.expr:
    match value:
        case ast.Constant(int() | float() as number) if number not in NEUTRAL:
            return ast.Constant(2)
    return value


def without_identity(text: str) -> str:
    """The text of a value without addresses; only the kind for objects with the default repr."""
    text = without_addresses(text)
    found = OBJECT.fullmatch(text.strip())
    return f"<{found['kind']}>" if found else text


def without_addresses(text: str) -> str:
    """A text without memory addresses."""
    return ADDRESS.sub("<object>", text)


def nodes_of(value: ast.expr) -> Iterator[ast.AST]:
    """The nodes of an expression, without lambdas and without the text parts of f-strings."""
    waiting: list[ast.AST] = [value]
    while waiting:
        node = waiting.pop()
        yield node
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.JoinedStr):
            children = [each for each in children if not isinstance(each, ast.Constant)] or children
        if not isinstance(node, FUNCTIONS):
            waiting += children


def loaded(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, kind)}


def root_names(node: ast.expr) -> set[str]:
    """The names at the root of a target: df of df.age[0]."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Tuple | ast.List):
        return {name for each in node.elts for name in root_names(each)}
    return {node.id} if isinstance(node, ast.Name) else set()


def dotted_parts(node: ast.expr) -> list[str]:
    """The parts of a dotted name; [] for other expressions."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else parts


def modules(source: str) -> frozenset[str]:
    """The names bound by imports."""
    module = parse_module(source)
    return frozenset(
        alias.asname or alias.name.split(".")[0]
        for node in (ast.walk(module) if module else ())
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    )
