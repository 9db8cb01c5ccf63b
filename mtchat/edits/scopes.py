"""The scopes of code: which names are the same variable, as Python's own rules decide it.

Turns share one module scope. Strings that hold type hints are read too, where a type hint is expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mtchat.edits.library import cst
from mtchat.edits.tree import CodeTree

CONSTANTS = ("None", "True", "False")
MODULE, FUNCTION, CLASS, COMPREHENSION, TYPES = "module", "function", "class", "comprehension", "types"


@dataclass(eq=False)
class Scope:
    """A region with names of its own: a module, function, class, comprehension, or type parameters."""

    kind: str
    parent: Scope | None = None
    node: cst.CSTNode | None = None
    bound: set[str] = field(default_factory=set)
    is_global: set[str] = field(default_factory=set)
    is_nonlocal: set[str] = field(default_factory=set)

    @property
    def module(self) -> Scope:
        return self.parent.module if self.parent else self

    @property
    def assigning(self) -> Scope:
        """The scope that `:=` binds in: the first around it that is no comprehension."""
        return self.parent.assigning if self.kind == COMPREHENSION and self.parent else self

    def home(self, name: str, early: bool = False) -> Scope:
        """The scope whose variable a name means here; `early` in a class, before the class binds it."""
        if name in self.is_global:
            return self.module
        if name in self.bound and name not in self.is_nonlocal:
            return self.module if early else self  # a class looks past the functions around it
        inner, scope = self, self.parent
        while scope is not None:
            if name in scope.is_global:
                return self.module
            visible = scope.kind != CLASS or inner.kind == TYPES
            if visible and name in scope.bound and name not in scope.is_nonlocal:
                return scope
            inner, scope = scope, scope.parent
        return self.module


@dataclass(frozen=True, eq=False)
class Source:
    """Where the value of a variable comes from: `kind` is one of the words below, `node` what it is.

    value (an expression), element or part (of an expression), import, function, class, parameter, other.
    """

    kind: str
    node: cst.CSTNode
    scope: Scope


@dataclass(frozen=True, eq=False)
class NameUse:
    """A name that stands for a variable."""

    turn: int
    node: cst.Name
    scope: Scope
    binds: bool
    early: bool = False

    @property
    def home(self) -> Scope:
        return self.scope.home(self.node.value, self.early)


@dataclass(frozen=True, eq=False)
class Placed:
    """A node that may look names up or hold them, with where it stands."""

    turn: int
    node: cst.CSTNode
    scope: Scope


@dataclass
class ScopedProgram:
    """All that is known of the names of a program; turns count from 0."""

    trees: Sequence[CodeTree]
    module: Scope = field(default_factory=lambda: Scope(MODULE))
    uses: list[NameUse] = field(default_factory=list)
    nodes: list[Placed] = field(default_factory=list)
    sources: dict[tuple[Scope, str], list[Source]] = field(default_factory=dict)
    attribute_sources: dict[str, list[Source]] = field(default_factory=dict)
    inner: dict[int, Scope] = field(default_factory=dict)  # by the id of a function or class: its scope

    @cached_property
    def origins(self) -> dict[tuple[Scope, str], list[Source]]:
        found: dict[tuple[Scope, str], list[Source]] = {}
        for (scope, name), sources in self.sources.items():
            found.setdefault((scope.home(name), name), []).extend(sources)
        return found

    def sources_of(self, scope: Scope, name: str) -> list[Source]:
        """Where the values of a variable come from; none for a built-in."""
        return self.origins.get((scope, name), [])

    def nodes_of(self, kind: type[cst.CSTNode]) -> Iterator[Placed]:
        return (each for each in self.nodes if isinstance(each.node, kind))


def read_program(trees: Sequence[CodeTree]) -> ScopedProgram:
    """The names of the turns of a program, one after the other in one module."""
    program = ScopedProgram(trees)
    for turn, tree in enumerate(trees):
        reader = ScopeReader(program, turn)
        for each in tree.module.body:
            reader.visit(each, program.module)
    return program


@dataclass
class ScopeReader:
    """Walks the tree of one turn in the order in which Python evaluates it."""

    program: ScopedProgram
    turn: int

    def visit_all(self, nodes: Sequence[cst.CSTNode | None], scope: Scope) -> None:
        for each in nodes:
            if each is not None:
                self.visit(each, scope)

    def visit(self, node: cst.CSTNode, scope: Scope) -> None:
        match node:
            case cst.BaseParenthesizableWhitespace() | cst.TrailingWhitespace() | cst.EmptyLine():
                return
            case cst.Name():
                self.read(node, scope)
            case cst.BaseCompoundStatement():
                self.visit_compound(node, scope)
            case cst.BaseSmallStatement():
                self.visit_simple(node, scope)
            case cst.BaseExpression():
                self.visit_expression(node, scope)
            case cst.MatchPattern() | cst.MatchStar():
                self.visit_pattern(node, scope)
            case cst.Annotation():
                self.place(node, scope)
                self.visit(node.annotation, scope)
            case cst.Arg():
                self.visit(node.value, scope)  # the keyword is not a variable
            case cst.AsName():
                self.bind(node.name, scope, Source("other", node, scope))
            case _:
                self.visit_all(node.children, scope)

    def place(self, node: cst.CSTNode, scope: Scope) -> None:
        self.program.nodes.append(Placed(self.turn, node, scope))

    def read(self, name: cst.Name, scope: Scope) -> None:
        if name.value in CONSTANTS:
            return
        early = scope.kind == CLASS and name.value not in scope.bound
        self.program.uses.append(NameUse(self.turn, name, scope, False, early))

    def bind_name(self, name: cst.Name, scope: Scope, source: Source) -> None:
        scope.bound.add(name.value)
        self.program.uses.append(NameUse(self.turn, name, scope, True))
        self.program.sources.setdefault((scope, name.value), []).append(source)

    def bind(self, target: cst.CSTNode, scope: Scope, source: Source) -> None:
        """Whatever an assignment, a loop or the like assigns to."""
        match target:
            case cst.Name():
                self.bind_name(target, scope, source)
            case cst.Tuple() | cst.List():
                for each, part in zip(target.elements, parts_of(target, source), strict=True):
                    self.bind(each.value if isinstance(each, cst.Element) else each, scope, part)
            case cst.StarredElement():
                self.bind(target.value, scope, Source("other", source.node, source.scope))
            case cst.Attribute():
                self.visit(target, scope)
                self.program.attribute_sources.setdefault(target.attr.value, []).append(source)
            case _:
                self.visit(target, scope)

    def visit_compound(self, node: cst.CSTNode, scope: Scope) -> None:
        match node:
            case cst.FunctionDef():
                self.visit_function(node, scope)
            case cst.ClassDef():
                self.visit_class(node, scope)
            case cst.For():
                self.visit(node.iter, scope)
                self.bind(node.target, scope, Source("element", node.iter, scope))
                self.visit_all([node.body, node.orelse], scope)
            case cst.With():
                for item in node.items:
                    self.visit(item.item, scope)
                    if item.asname:
                        self.bind(item.asname.name, scope, Source("value", item.item, scope))
                self.visit(node.body, scope)
            case _:
                self.visit_all(node.children, scope)

    def visit_simple(self, node: cst.CSTNode, scope: Scope) -> None:
        match node:
            case cst.Assign():
                self.place(node, scope)
                self.visit(node.value, scope)
                for target in node.targets:
                    self.bind(target.target, scope, Source("value", node.value, scope))
            case cst.AnnAssign():
                self.visit_all([node.value, node.annotation], scope)
                kind = "value" if node.value else "other"
                self.bind(node.target, scope, Source(kind, node.value or node.annotation, scope))
            case cst.AugAssign():
                self.place(node, scope)
                self.visit(node.value, scope)
                self.bind(node.target, scope, Source("other", node.value, scope))
            case cst.Del():
                self.unbind(node.target, scope)
            case cst.Global() | cst.Nonlocal():
                declared = scope.is_global if isinstance(node, cst.Global) else scope.is_nonlocal
                for item in node.names:
                    declared.add(item.name.value)
                    self.program.uses.append(NameUse(self.turn, item.name, scope, True))
            case cst.Import() | cst.ImportFrom():
                self.visit_import(node, scope)
            case cst.TypeAlias():
                self.bind_name(node.name, scope, Source("other", node, scope))
                inner = self.type_scope(node.type_parameters, scope)
                self.visit(node.value, inner)
            case _:
                self.visit_all(node.children, scope)

    def unbind(self, target: cst.CSTNode, scope: Scope) -> None:
        match target:
            case cst.Name():
                scope.bound.add(target.value)
                self.program.uses.append(NameUse(self.turn, target, scope, True))
            case cst.Tuple() | cst.List():
                for each in target.elements:
                    self.unbind(each.value, scope)
            case _:
                self.visit(target, scope)

    def visit_import(self, node: cst.Import | cst.ImportFrom, scope: Scope) -> None:
        if isinstance(node.names, cst.ImportStar):
            return
        for alias in node.names:
            name: cst.CSTNode = alias.asname.name if alias.asname else alias.name
            while isinstance(name, cst.Attribute):
                name = name.value
            if isinstance(name, cst.Name):
                self.bind_name(name, scope, Source("import", alias, scope))
                self.place(alias, scope)

    def visit_function(self, node: cst.FunctionDef, scope: Scope) -> None:
        self.visit_all(node.decorators, scope)
        self.visit_defaults(node.params, scope)
        outer = self.type_scope(node.type_parameters, scope)
        for each in parameters_of(node.params):
            self.visit_all([each.annotation], outer)
        self.visit_all([node.returns], outer)
        self.bind_name(node.name, scope, Source("function", node, scope))
        self.visit(node.body, self.function_scope(node, node.params, outer))

    def function_scope(self, node: cst.CSTNode, params: cst.Parameters, outer: Scope) -> Scope:
        inner = Scope(FUNCTION, outer, node)
        self.program.inner[id(node)] = inner
        self.place(node, outer)
        for each in parameters_of(params):
            self.bind_name(each.name, inner, Source("parameter", each, inner))
        return inner

    def visit_defaults(self, params: cst.Parameters, scope: Scope) -> None:
        for each in parameters_of(params):
            self.visit_all([each.default], scope)

    def visit_class(self, node: cst.ClassDef, scope: Scope) -> None:
        self.visit_all(node.decorators, scope)
        outer = self.type_scope(node.type_parameters, scope)
        self.visit_all([*node.bases, *node.keywords], outer)
        inner = Scope(CLASS, outer, node)
        self.program.inner[id(node)] = inner
        self.place(node, scope)
        self.visit(node.body, inner)
        self.bind_name(node.name, scope, Source("class", node, scope))

    def type_scope(self, node: cst.TypeParameters | None, scope: Scope) -> Scope:
        """The scope of type parameters such as `def f[T]`, or the one around it if there are none."""
        if node is None:
            return scope
        inner = Scope(TYPES, scope, node)
        for each in node.params:
            self.bind_name(each.param.name, inner, Source("other", each, inner))
            self.visit_all([getattr(each.param, "bound", None), each.default], inner)
        return inner

    def visit_expression(self, node: cst.CSTNode, scope: Scope) -> None:
        match node:
            case cst.Attribute():
                self.visit(node.value, scope)
                self.place(node, scope)
            case cst.NamedExpr():
                self.visit(node.value, scope)
                self.bind(node.target, scope.assigning, Source("value", node.value, scope))
            case cst.Lambda():
                self.visit_defaults(node.params, scope)
                self.visit(node.body, self.function_scope(node, node.params, scope))
            case cst.ListComp() | cst.SetComp() | cst.GeneratorExp():
                inner = self.visit_loop(node.for_in, scope, None)
                self.visit(node.elt, inner)
            case cst.DictComp():
                inner = self.visit_loop(node.for_in, scope, None)
                self.visit_all([node.key, node.value], inner)
            case cst.Call() | cst.Subscript() | cst.BinaryOperation() | cst.SimpleString():
                self.place(node, scope)
                self.visit_all(node.children, scope)
            case _:
                self.visit_all(node.children, scope)

    def visit_loop(self, loop: cst.CompFor, scope: Scope, inner: Scope | None) -> Scope:
        """The loops of a comprehension: what the first one goes through is evaluated outside of it."""
        self.visit(loop.iter, scope if inner is None else inner)
        outer, inner = scope, inner or Scope(COMPREHENSION, scope, loop)
        self.bind(loop.target, inner, Source("element", loop.iter, inner if inner.bound else outer))
        self.visit_all(loop.ifs, inner)
        return self.visit_loop(loop.inner_for_in, scope, inner) if loop.inner_for_in else inner

    def visit_pattern(self, node: cst.CSTNode, scope: Scope) -> None:
        match node:
            case cst.MatchStar():
                if node.name:
                    self.bind_name(node.name, scope, Source("other", node, scope))
            case cst.MatchAs():
                self.visit_all([node.pattern], scope)
                if node.name:
                    self.bind_name(node.name, scope, Source("other", node, scope))
            case cst.MatchMapping():
                self.visit_all(node.elements, scope)
                if node.rest:
                    self.bind_name(node.rest, scope, Source("other", node, scope))
            case cst.MatchClass():
                self.place(node, scope)
                self.visit(node.cls, scope)
                self.visit_all([*node.patterns, *(each.pattern for each in node.kwds)], scope)
            case _:
                self.visit_all(node.children, scope)


def parts_of(target: cst.Tuple | cst.List, source: Source) -> list[Source]:
    """Where the values come from that an assignment to several targets hands out."""
    value, targets = source.node, target.elements
    if source.kind == "value" and isinstance(value, cst.Tuple | cst.List):
        plain = not any(isinstance(each, cst.StarredElement) for each in (*value.elements, *targets))
        if plain and len(value.elements) == len(targets):
            return [Source("value", each.value, source.scope) for each in value.elements]
    kind = "part" if source.kind == "value" else "other"
    return [Source(kind, value, source.scope) for _ in targets]


def parameters_of(params: cst.Parameters) -> Iterator[cst.Param]:
    """The parameters of a function in the order of its text."""
    yield from params.posonly_params
    yield from params.params
    if isinstance(params.star_arg, cst.Param):
        yield params.star_arg
    yield from params.kwonly_params
    if params.star_kwarg is not None:
        yield params.star_kwarg
