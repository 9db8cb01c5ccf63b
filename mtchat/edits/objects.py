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
PICKING = (  # what gives back an object that it was given, or an element of it
    *("max", "min", "next", "sum", "reduce", "choice", "copy", "deepcopy", "heappop", "replace", "super"),
    *("getattr", "abs", "iter"),
)
LISTING = ("enumerate", "reversed", "sorted", "list", "tuple", "set", "zip", "filter", "dict", "deque")
KEYED = ("defaultdict", "OrderedDict", "Counter")
ADDING = ("append", "appendleft", "add", "insert", "extend", "update", "setdefault")
OPEN_TYPES = (  # type hints that say nothing of the class of an object
    *("object", "Any", "None", "Self", "Iterable", "Iterator", "Sequence", "Collection", "Hashable", "Sized"),
    *("Container", "Callable", "Generator", "Mapping", "Type", "Optional", "Union"),
)
TAKING = ("get", "pop", "popleft", "setdefault", "__getitem__")  # methods of containers
MAKING_CLASSES = ("namedtuple", "NamedTuple", "make_dataclass", "Enum", "NewType", "SimpleNamespace")


class Origin(Enum):
    """What an object is: of the program, from outside, unknown, or one of several of these."""

    OWN = "own"
    FOREIGN = "foreign"
    CONTAINER = "container"  # a list, a dictionary or the like, of whatever
    UNKNOWN = "unknown"
    UNSURE = "unsure"
    EMPTY = "empty"  # None, or nothing at all


OUTSIDE = (Origin.FOREIGN, Origin.CONTAINER)  # whose attributes are none of the program's


def join_kinds(kinds: Iterable[Origin]) -> Origin:
    """What is true of an object that is one of several."""
    found = {each for each in kinds if each is not Origin.EMPTY}
    if not found:
        return Origin.EMPTY
    if len(found) == 1:
        return found.pop()
    if found == {Origin.FOREIGN, Origin.CONTAINER}:
        return Origin.CONTAINER
    return Origin.UNKNOWN if found == {Origin.OWN, Origin.UNKNOWN} else Origin.UNSURE


@dataclass
class ObjectKinds:
    """Follows the values of a program to where they come from."""

    program: ScopedProgram
    open: set[tuple[int, str]] = field(default_factory=set)

    def kind(self, node: cst.CSTNode, scope: Scope) -> Origin:
        """What an expression is."""
        return self.follow((id(node), "kind"), lambda: self.kind_of(node, scope))

    def element(self, node: cst.CSTNode, scope: Scope) -> Origin:
        """What the elements of an expression are."""
        return self.follow((id(node), "element"), lambda: self.element_of(node, scope))

    def follow(self, key: tuple[int, str], find: Callable[[], Origin]) -> Origin:
        """What is found for a key; what it depends on itself for adds nothing to that."""
        if key in self.open:
            return Origin.EMPTY
        if len(self.open) > MOST_STEPS:
            return Origin.UNKNOWN
        self.open.add(key)
        try:
            return find()
        finally:
            self.open.discard(key)

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
            case cst.BooleanOperation():
                return join_kinds([self.kind(node.left, scope), self.kind(node.right, scope)])
            case cst.BinaryOperation():
                sides = [self.kind(node.left, scope), self.kind(node.right, scope)]
                mixed = Origin.OWN in sides and sides != [Origin.OWN, Origin.OWN]
                return Origin.UNKNOWN if mixed else join_kinds(sides)
            case cst.Await():
                return self.kind(node.expression, scope)
            case cst.BaseString() | cst.BaseNumber() | cst.Comparison() | cst.FormattedString():
                return Origin.FOREIGN
            case cst.BaseList() | cst.BaseDict() | cst.BaseSet() | cst.Tuple() | cst.GeneratorExp():
                return Origin.CONTAINER
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
            case "element" | "part":
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
            case cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name)) if name in OPEN_TYPES:
                return Origin.UNKNOWN
            case cst.Name() if all(
                each.kind == "value" for each in self.program.sources_of(scope.home(hint.value), hint.value)
            ) and not hasattr(builtins, hint.value):
                return Origin.UNKNOWN  # a type variable
            case cst.Name() | cst.Attribute():
                return self.kind(hint, scope)
            case cst.Subscript(value=value, slice=[cst.SubscriptElement(slice=cst.Index(value=inner))]):
                return self.hinted(inner, scope) if last_name(value) == "Optional" else Origin.UNKNOWN
            case cst.BinaryOperation(left=left, right=cst.Name(value="None")):
                return self.hinted(left, scope)
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
        calls = 0
        for call in self.program.nodes_of(cst.Call):
            assert isinstance(call.node, cst.Call)
            if not isinstance(call.node.func, cst.Name) or call.node.func.value != name:
                continue
            args = call.node.args
            named = [each.value for each in args if each.keyword and each.keyword.value == param.name.value]
            given = [each.value for each in args if each.keyword is None and not each.star]
            value = named[0] if named else given[place] if place < len(given) else None
            found.append(self.kind(value, call.scope) if value is not None else Origin.EMPTY)
            found += [Origin.UNKNOWN] if any(each.star for each in args) else []
            calls += 1
        home = (scope.parent or scope).home(name)
        reads = [use for use in self.program.uses if use.node.value == name and use.home is home]
        found += [Origin.UNKNOWN] if sum(not use.binds for use in reads) > calls else []
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
        if isinstance(call.func, cst.Attribute):
            kind = self.kind(call.func.value, scope)
            methods = self.methods(name) if kind in (Origin.OWN, Origin.UNKNOWN) else []
            if methods:
                return join_kinds(self.returned(each) for each in methods)
            if kind is Origin.CONTAINER:
                return self.element(call.func.value, scope) if name in TAKING else Origin.CONTAINER
            if kind is Origin.FOREIGN and not self.is_module_or_text(call.func.value, scope):
                return Origin.UNSURE  # it may give back what it was given before
        if name in (*LISTING, *KEYED):
            return Origin.CONTAINER
        if name in PICKING:
            given = [self.element_or_self(each.value, scope) for each in call.args]
            return Origin.OWN if Origin.OWN in given or name == "super" else Origin.UNKNOWN
        if self.kind(call.func, scope) is not Origin.FOREIGN:
            return Origin.UNKNOWN
        safe = all(is_plain(each.value) for each in call.args)
        return Origin.FOREIGN if safe or name in ("open", "int", "str", "float", "len") else Origin.UNSURE

    def methods(self, name: str) -> list[cst.CSTNode]:
        """The methods of the program that have a name."""
        return [
            each.node
            for each in self.program.nodes_of(cst.FunctionDef)
            if isinstance(each.node, cst.FunctionDef) and each.node.name.value == name
            if each.scope.kind == CLASS
        ]

    def element_or_self(self, node: cst.CSTNode, scope: Scope) -> Origin:
        kind = self.kind(node, scope)
        return self.element(node, scope) if kind is Origin.CONTAINER else kind

    def returned(self, function: cst.CSTNode, parts: bool = False) -> Origin:
        """What a function of the program gives back, or what the parts of that are."""
        inner = self.program.inner.get(id(function))
        if inner is None or not isinstance(function, cst.FunctionDef):
            return Origin.UNKNOWN
        values = [each for each in returned_values(function.body)]
        find = self.element if parts else self.kind
        return join_kinds(find(each, inner) for each in values) if values else Origin.UNKNOWN

    def attribute(self, node: cst.Attribute, scope: Scope) -> Origin:
        """What an attribute of something is."""
        receiver = self.kind(node.value, scope)
        if receiver in OUTSIDE:
            return Origin.FOREIGN
        sources = self.program.attribute_sources.get(node.attr.value, [])
        if receiver in (Origin.OWN, Origin.UNKNOWN) and sources:
            declared = any(
                node.attr.value in scope.bound for scope in self.program.inner.values() if scope.kind == CLASS
            )
            found = [self.source(each) for each in sources]
            return join_kinds([*found, *([Origin.UNKNOWN] if declared else [])])
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
                    known = [self.element(each.node, each.scope) for each in values]
                    return join_kinds([*known, *self.added(node.value, scope)])
                return Origin.UNSURE if any(each.kind == "import" for each in sources) else Origin.UNKNOWN
            case cst.BaseString() | cst.FormattedString():
                return Origin.FOREIGN
            case cst.Call():
                name = last_name(node.func)
                if name in KEYED:
                    return Origin.UNKNOWN
                if name == "range":
                    return Origin.FOREIGN
                if name in (*LISTING, *PICKING) and node.args:
                    return self.element(node.args[0].value, scope)
                if isinstance(node.func, cst.Attribute) and self.is_container(node.func.value, scope):
                    return self.element(node.func.value, scope)
                own = (
                    self.program.sources_of(scope.home(name), name) if isinstance(node.func, cst.Name) else []
                )
                if own and all(each.kind == "function" for each in own):
                    return join_kinds(self.returned(each.node, parts=True) for each in own)
                kind = self.kind(node, scope)
                return kind if kind in (Origin.FOREIGN, Origin.UNSURE) else Origin.UNKNOWN
            case cst.Attribute():
                kind = self.kind(node, scope)
                return kind if kind in (Origin.FOREIGN, Origin.UNSURE) else Origin.UNKNOWN
        return Origin.UNKNOWN

    def added(self, name: str, scope: Scope) -> list[Origin]:
        """What is put into a container later."""
        home, found = scope.home(name), list[Origin]()
        for place in self.program.nodes:
            match place.node:
                case cst.Call(func=cst.Attribute(value=cst.Name(value=known), attr=method), args=args):
                    if known == name and method.value in ADDING and args and place.scope.home(name) is home:
                        find = self.element if method.value in ("extend", "update") else self.kind
                        found.append(find(args[-1].value, place.scope))
                case cst.Assign(targets=targets, value=value):
                    for each in targets:
                        match each.target:
                            case cst.Subscript(value=cst.Name(value=known)) if known == name:
                                found.append(self.kind(value, place.scope))
        return found

    def is_module_or_text(self, node: cst.CSTNode, scope: Scope) -> bool:
        """Whether this is a module or class that is imported, or a text: its functions keep no objects."""
        if isinstance(node, cst.Attribute):
            return self.is_module_or_text(node.value, scope)
        if not isinstance(node, cst.Name):
            return isinstance(node, cst.BaseString | cst.FormattedString)
        sources = self.program.sources_of(scope.home(node.value), node.value)
        return not sources or all(
            each.kind == "import" or isinstance(each.node, cst.BaseString | cst.FormattedString)
            for each in sources
        )

    def is_container(self, node: cst.CSTNode, scope: Scope) -> bool:
        return self.kind(node, scope) is Origin.CONTAINER

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
