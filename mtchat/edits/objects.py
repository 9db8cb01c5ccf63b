"""What kind of object an expression of a program is: one of its own classes, or one from outside.

This decides whether `.name` is the attribute of the program's class, or an attribute of something else with
the same name.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from mtchat.edits.library import cst
from mtchat.edits.scopes import CLASS, FUNCTION, Scope, ScopedProgram, Source, parameters_of

MOST_STEPS = 40  # of following where a value comes from
PASSING_ON = (  # what gives back an object that it was given, or an element of it
    *("max", "min", "next", "sum", "reduce", "choice", "copy", "deepcopy", "heappop", "replace", "super"),
    *("popleft", "pop", "enumerate", "reversed", "sorted", "list", "tuple", "zip", "filter", "getattr"),
)
MAKING_CLASSES = ("namedtuple", "NamedTuple", "make_dataclass", "Enum", "NewType", "SimpleNamespace")


class Origin(Enum):
    """What an object is: of the program, from outside, unknown, or one of several of these."""

    OWN = "own"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"
    UNSURE = "unsure"
    EMPTY = "empty"  # None, or nothing at all


def join_kinds(kinds: Iterable[Origin]) -> Origin:
    """What is true of an object that is one of several."""
    found = {each for each in kinds if each is not Origin.EMPTY}
    if not found:
        return Origin.EMPTY
    if len(found) == 1:
        return found.pop()
    return Origin.UNKNOWN if found == {Origin.OWN, Origin.UNKNOWN} else Origin.UNSURE


@dataclass
class ObjectKinds:
    """Follows the values of a program to where they come from."""

    program: ScopedProgram
    steps: int = 0
    open: set[int] = field(default_factory=set)

    def kind(self, node: cst.CSTNode, scope: Scope) -> Origin:
        """What an expression is."""
        return self.follow(node, lambda: self.kind_of(node, scope))

    def element(self, node: cst.CSTNode, scope: Scope) -> Origin:
        """What the elements of an expression are."""
        return self.follow(node, lambda: self.element_of(node, scope))

    def follow(self, node: cst.CSTNode, find: Callable[[], Origin]) -> Origin:
        if id(node) in self.open or len(self.open) > MOST_STEPS:
            return Origin.UNKNOWN
        self.open.add(id(node))
        try:
            return find()
        finally:
            self.open.discard(id(node))

    def kind_of(self, node: cst.CSTNode, scope: Scope) -> Origin:
        match node:
            case cst.Name(value="None"):
                return Origin.EMPTY
            case cst.Name():
                return self.variable(node.value, scope)
            case cst.Call():
                return self.result(node, scope)
            case cst.Attribute():
                return self.attribute(node, scope)
            case cst.Subscript():
                return self.element(node.value, scope)
            case cst.NamedExpr():
                return self.kind(node.value, scope)
            case cst.IfExp():
                return join_kinds([self.kind(node.body, scope), self.kind(node.orelse, scope)])
            case cst.BooleanOperation() | cst.BinaryOperation():
                return join_kinds([self.kind(node.left, scope), self.kind(node.right, scope)])
            case cst.Await():
                return self.kind(node.expression, scope)
            case cst.BaseString() | cst.BaseNumber() | cst.Comparison() | cst.FormattedString():
                return Origin.FOREIGN
            case cst.BaseList() | cst.BaseDict() | cst.BaseSet() | cst.Tuple() | cst.GeneratorExp():
                return Origin.FOREIGN
        return Origin.UNKNOWN

    def variable(self, name: str, scope: Scope) -> Origin:
        home = scope.home(name)
        sources = self.program.sources_of(home, name)
        if not sources:
            return Origin.FOREIGN if hasattr(builtins, name) else Origin.UNKNOWN
        return join_kinds(self.source(each) for each in sources)

    def source(self, source: Source) -> Origin:
        match source.kind:
            case "class":
                return Origin.OWN
            case "import":
                return Origin.FOREIGN
            case "function":
                return Origin.OWN
            case "value":
                return self.kind(source.node, source.scope)
            case "element":
                return self.element(source.node, source.scope)
            case "parameter":
                return self.parameter(source.node, source.scope)
        return Origin.UNKNOWN

    def parameter(self, node: cst.CSTNode, scope: Scope) -> Origin:
        """What a parameter is: `self`, what its type hint says, or what the calls hand over."""
        if not isinstance(node, cst.Param) or scope.node is None:
            return Origin.UNKNOWN
        if owner_of_self(node, scope) is not None:
            return Origin.OWN
        if node.annotation is not None:
            return self.hinted(node.annotation.annotation, scope)
        return self.handed_over(node, scope)

    def hinted(self, hint: cst.CSTNode, scope: Scope) -> Origin:
        """What a type hint says of a value."""
        match hint:
            case cst.Name(value="object" | "Any" | "None"):
                return Origin.UNKNOWN
            case cst.Name() | cst.Attribute():
                return self.kind(hint, scope)
            case cst.SimpleString():
                name = str(hint.evaluated_value)
                return self.variable(name, scope) if name.isidentifier() else Origin.UNKNOWN
        return Origin.UNKNOWN

    def handed_over(self, param: cst.Param, scope: Scope) -> Origin:
        """What the calls of a function give to a parameter, if the program only calls it."""
        function = scope.node
        name = getattr(getattr(function, "name", None), "value", "")
        if not isinstance(function, cst.FunctionDef) or (scope.parent and scope.parent.kind == CLASS):
            return Origin.UNKNOWN
        order = [each.name.value for each in parameters_of(function.params)]
        place = order.index(param.name.value)
        found = [self.kind(param.default, scope.parent or scope)] if param.default else []
        for call in self.program.nodes_of(cst.Call):
            assert isinstance(call.node, cst.Call)
            if not isinstance(call.node.func, cst.Name) or call.node.func.value != name:
                continue
            args = call.node.args
            named = [each.value for each in args if each.keyword and each.keyword.value == param.name.value]
            given = [each.value for each in args if each.keyword is None and not each.star]
            value = named[0] if named else given[place] if place < len(given) else None
            found.append(self.kind(value, call.scope) if value is not None else Origin.EMPTY)
        return join_kinds(found) if any(each is not Origin.EMPTY for each in found) else Origin.UNKNOWN

    def result(self, call: cst.Call, scope: Scope) -> Origin:
        """What a call gives back."""
        name = last_name(call.func)
        if name in MAKING_CLASSES:
            return Origin.OWN
        if isinstance(call.func, cst.Name):
            sources = self.program.sources_of(scope.home(name), name)
            if any(each.kind == "class" for each in sources):
                return Origin.OWN
            if any(is_made_class(each.node) for each in sources):
                return Origin.OWN
            if sources and all(each.kind == "function" for each in sources):
                return join_kinds(self.returned(each.node) for each in sources)
        if name in PASSING_ON:
            given = [self.element_or_self(each.value, scope) for each in call.args]
            return Origin.OWN if Origin.OWN in given or name == "super" else Origin.UNKNOWN
        if self.kind(call.func, scope) is not Origin.FOREIGN:
            return Origin.UNKNOWN
        safe = all(is_plain(each.value) for each in call.args)
        return Origin.FOREIGN if safe or name in ("open", "int", "str", "float", "len") else Origin.UNSURE

    def element_or_self(self, node: cst.CSTNode, scope: Scope) -> Origin:
        kind = self.kind(node, scope)
        return self.element(node, scope) if kind is Origin.FOREIGN else kind

    def returned(self, function: cst.CSTNode) -> Origin:
        """What a function of the program gives back."""
        inner = self.program.inner.get(id(function))
        if inner is None or not isinstance(function, cst.FunctionDef):
            return Origin.UNKNOWN
        values = [each for each in returned_values(function.body)]
        return join_kinds(self.kind(each, inner) for each in values) if values else Origin.UNKNOWN

    def attribute(self, node: cst.Attribute, scope: Scope) -> Origin:
        """What an attribute of something is."""
        receiver = self.kind(node.value, scope)
        if receiver is Origin.FOREIGN and isinstance(node.value, cst.Name | cst.Attribute):
            return Origin.FOREIGN
        sources = self.program.attribute_sources.get(node.attr.value, [])
        if receiver in (Origin.OWN, Origin.UNKNOWN) and sources:
            return join_kinds(self.source(each) for each in sources)
        return Origin.UNKNOWN if receiver in (Origin.OWN, Origin.UNKNOWN) else receiver

    def element_of(self, node: cst.CSTNode, scope: Scope) -> Origin:
        match node:
            case cst.List() | cst.Tuple() | cst.Set():
                kinds = [self.kind(each.value, scope) for each in node.elements]
                return join_kinds(kinds) if node.elements else Origin.UNKNOWN
            case cst.Dict():
                kinds = [self.kind(each.value, scope) for each in node.elements]
                return join_kinds(kinds) if node.elements else Origin.UNKNOWN
            case cst.ListComp() | cst.SetComp() | cst.GeneratorExp():
                return self.kind(node.elt, self.inner_scope(node.for_in, scope))
            case cst.Name():
                sources = self.program.sources_of(scope.home(node.value), node.value)
                values = [each for each in sources if each.kind == "value"]
                if sources and len(values) == len(sources):
                    return join_kinds(self.element(each.node, each.scope) for each in values)
                return Origin.UNSURE if any(each.kind == "import" for each in sources) else Origin.UNKNOWN
            case cst.BaseString() | cst.FormattedString():
                return Origin.FOREIGN
            case cst.Call():
                name = last_name(node.func)
                if name == "range":
                    return Origin.FOREIGN
                if name in PASSING_ON and node.args:
                    return self.element(node.args[-1].value, scope)
                kind = self.kind(node, scope)
                return kind if kind in (Origin.FOREIGN, Origin.UNSURE) else Origin.UNKNOWN
        return Origin.UNKNOWN

    def inner_scope(self, loop: cst.CompFor, scope: Scope) -> Scope:
        """The scope of a comprehension."""
        for use in self.program.uses:
            if use.scope.node is loop:
                return use.scope
        return scope


def owner_of_self(param: cst.Param, scope: Scope) -> cst.ClassDef | None:
    """The class whose method has this as its first parameter, `self` or `cls`."""
    function, outer = scope.node, scope.parent
    while outer is not None and outer.kind not in (CLASS, FUNCTION, "module"):
        outer = outer.parent
    if not isinstance(function, cst.FunctionDef) or outer is None or outer.kind != CLASS:
        return None
    static = any(last_name(each.decorator) == "staticmethod" for each in function.decorators)
    first = next(parameters_of(function.params), None)
    owner = outer.node
    return owner if first is param and not static and isinstance(owner, cst.ClassDef) else None


def is_made_class(node: cst.CSTNode) -> bool:
    """Whether a value is a class that a call makes, such as that of `namedtuple`."""
    return isinstance(node, cst.Call) and last_name(node.func) in MAKING_CLASSES


def returned_values(body: cst.CSTNode) -> list[cst.CSTNode]:
    """The values of the return statements of a function, not of those inside of it."""
    found = list[cst.CSTNode]()
    for each in body.children:
        if isinstance(each, cst.Return):
            found += [each.value] if each.value else []
        elif not isinstance(each, cst.FunctionDef | cst.ClassDef | cst.BaseExpression):
            found += returned_values(each)
    return found


def last_name(node: cst.CSTNode) -> str:
    """The name of a function or decorator without what is before its dots: `choice` of `random.choice`."""
    while isinstance(node, cst.Call):
        node = node.func
    name = node.attr if isinstance(node, cst.Attribute) else node
    return str(name.value) if isinstance(name, cst.Name) else ""


def is_plain(node: cst.CSTNode) -> bool:
    """Whether an argument is a literal, so that it cannot be an object of the program."""
    return isinstance(node, cst.BaseString | cst.BaseNumber) or (
        isinstance(node, cst.Name) and node.value in ("None", "True", "False")
    )
