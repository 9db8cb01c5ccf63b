"""Calls that name an argument: which functions they reach, and which keywords a renamed parameter changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mtchat.edits.library import cst
from mtchat.edits.objects import Origin, is_made_class, last_name, owner_of_self
from mtchat.edits.plan import RenamePlan
from mtchat.edits.scopes import CLASS, Placed, Scope, Source

PASSING_CALLS_ON = ("partial", "partialmethod", "submit", "create_task")
MAKERS = ("__init__", "__new__")


@dataclass(frozen=True)
class Callees:
    """What a call may run: functions of the program, classes with fields, or something that is not known."""

    functions: tuple[cst.CSTNode, ...] = ()
    classes: tuple[cst.CSTNode, ...] = ()
    known: bool = True


OUTSIDE = Callees()
UNKNOWN = Callees(known=False)


def rename_keywords(plan: RenamePlan) -> None:
    """Change the keywords of calls that give one of the parameters of a plan, or refuse."""
    renamed = {id(scope.node) for scope in plan.functions if is_keyword_parameter(scope, plan.old)}
    if not renamed:
        return
    check_decorators(plan)
    passed_on = False
    for place in plan.program.nodes_of(cst.Call):
        assert isinstance(place.node, cst.Call)
        callees = find_callees(plan, place.node, place.scope)
        reaches = not callees.known or any(id(each) in renamed for each in callees.functions)
        for arg in place.node.args:
            if arg.star == "**" and reaches:
                passed_on = rename_unpacked(plan, place, arg, callees.known) or passed_on
    for place in plan.program.nodes_of(cst.Call):
        assert isinstance(place.node, cst.Call)
        for arg in place.node.args:
            if arg.keyword is not None and arg.keyword.value in (plan.old, plan.new):
                rename_keyword(plan, place, arg, renamed, passed_on)
        check_passed_kwargs(plan, place, renamed)
    if passed_on and any(plan.mentioning(exactly=True)):
        raise plan.refuse(next(plan.mentioning(exactly=True)), "arguments are passed on by name")


def rename_keyword(plan: RenamePlan, place: Placed, arg: cst.Arg, renamed: set[int], passed_on: bool) -> None:
    """One keyword of a call that is the old name, or a check of one that is the new name."""
    assert isinstance(place.node, cst.Call)
    assert arg.keyword is not None
    callees = find_callees(plan, place.node, place.scope)
    hit = [each for each in callees.functions if id(each) in renamed]
    if arg.keyword.value == plan.new:
        if hit:
            raise plan.refuse(place, f"a call gives an argument that is already called {plan.new}")
        return
    if not callees.known and is_own_function(plan, place):
        plan.rename_word(place.turn, arg.keyword)
    elif not callees.known:
        raise plan.refuse(place, f"it is not certain which function is called with {plan.old}=")
    elif hit and len(hit) == len(callees.functions):
        plan.rename_word(place.turn, arg.keyword)
    elif hit:
        raise plan.refuse(place, f"only some of the functions that this may call have a parameter {plan.old}")
    elif passed_on and callees.functions:
        raise plan.refuse(place, "the argument is passed on by name")
    elif not callees.functions and passes_function(plan, place, renamed):
        if last_name(place.node.func) not in PASSING_CALLS_ON:
            raise plan.refuse(place, "a library is given the function together with the name of its argument")
        plan.rename_word(place.turn, arg.keyword)


def is_own_function(plan: RenamePlan, place: Placed) -> bool:
    """Whether a call surely runs a function of the program, which then has the parameter itself."""
    assert isinstance(place.node, cst.Call)
    takes_any = any(
        each.node.params.star_kwarg
        for each in (*plan.program.nodes_of(cst.FunctionDef), *plan.program.nodes_of(cst.Lambda))
        if isinstance(each.node, cst.FunctionDef | cst.Lambda)
    )
    return not takes_any and plan.objects.kind(place.node.func, place.scope) is Origin.OWN


def rename_unpacked(plan: RenamePlan, place: Placed, arg: cst.Arg, known: bool) -> bool:
    """A `**` in a call: whether it only hands on what the function around it was given by name."""
    if isinstance(arg.value, cst.Dict):
        for each in arg.value.elements:
            if isinstance(each, cst.DictElement) and isinstance(each.key, cst.SimpleString):
                if known:
                    plan.rename_string(place, each.key)
                continue
            raise plan.refuse(place, "arguments are given by names that are not known")
        return False
    if isinstance(arg.value, cst.Name):
        home = place.scope.home(arg.value.value)
        sources = plan.program.sources_of(home, arg.value.value)
        node = home.node
        params = getattr(node, "params", None)
        if params is not None and sources and all(each.node is params.star_kwarg for each in sources):
            return True
    if known:
        raise plan.refuse(place, "arguments are given by names that are not known")
    return False


def check_passed_kwargs(plan: RenamePlan, place: Placed, renamed: set[int]) -> None:
    """Refuses if a library is given the function and, apart from it, the names of its arguments."""
    assert isinstance(place.node, cst.Call)
    if not passes_function(plan, place, renamed):
        return
    for arg in place.node.args:
        named = arg.keyword is not None and arg.keyword.value in ("kwargs", "kw", "kwds")
        if named and plan.word.search(plan.tree(place).text(arg.value)):
            raise plan.refuse(place, "a library is given the names of the arguments")


def passes_function(plan: RenamePlan, place: Placed, renamed: set[int]) -> bool:
    """Whether a call hands over one of the functions whose parameter changes."""
    assert isinstance(place.node, cst.Call)
    return any(
        id(function) in renamed
        for arg in place.node.args
        if isinstance(arg.value, cst.Name | cst.Attribute)
        for function in find_functions(plan, arg.value, place.scope).functions
    )


def check_decorators(plan: RenamePlan) -> None:
    """Refuses if a decorator of one of the functions names the parameter."""
    for place in plan.program.nodes_of(cst.FunctionDef):
        assert isinstance(place.node, cst.FunctionDef)
        if not any(scope.node is place.node for scope in plan.functions):
            continue
        for decorator in place.node.decorators:
            call = decorator.decorator
            if isinstance(call, cst.Call) and any(
                (arg.keyword and arg.keyword.value == plan.old)
                or (
                    isinstance(arg.value, cst.SimpleString)
                    and plan.word.search(str(arg.value.evaluated_value))
                )
                for arg in call.args
            ):
                raise plan.refuse(
                    Placed(place.turn, decorator, place.scope), "a decorator names the parameter"
                )


def is_keyword_parameter(scope: Scope, name: str) -> bool:
    """Whether a function has such a parameter and calls may name it."""
    params = getattr(scope.node, "params", None)
    if params is None:
        return False
    return any(each.name.value == name for each in (*params.params, *params.kwonly_params))


def find_callees(plan: RenamePlan, call: cst.Call, scope: Scope) -> Callees:
    """What a call may run."""
    return find_functions(plan, call.func, scope)


def find_functions(plan: RenamePlan, node: cst.CSTNode, scope: Scope, steps: int = 0) -> Callees:
    """The functions that an expression may be."""
    if steps > 5:
        return UNKNOWN
    match node:
        case cst.Name():
            return named_functions(plan, node, scope, steps)
        case cst.Attribute():
            return methods(plan, node, scope)
        case cst.Lambda():
            return Callees(functions=(node,))
        case cst.Call() if last_name(node.func) in ("type", "super"):
            return of_classes(plan, enclosing_classes(scope))
        case cst.Call() if last_name(node.func) == "partial" and node.args:
            return find_functions(plan, node.args[0].value, scope, steps + 1)
        case cst.Call() if plan.objects.kind(node.func, scope) is Origin.FOREIGN:
            hands = any(isinstance(each.value, cst.Name | cst.Attribute) for each in node.args)
            return UNKNOWN if hands else OUTSIDE
    return UNKNOWN


def named_functions(plan: RenamePlan, node: cst.Name, scope: Scope, steps: int) -> Callees:
    """What a name stands for, as something that is called."""
    home = scope.home(node.value)
    sources = plan.program.sources_of(home, node.value)
    if not sources or all(each.kind == "import" for each in sources):
        return OUTSIDE
    found = [of_source(plan, each, steps) for each in sources]
    return Callees(
        tuple(function for each in found for function in each.functions),
        tuple(each for callees in found for each in callees.classes),
        all(each.known for each in found),
    )


def of_source(plan: RenamePlan, source: Source, steps: int) -> Callees:
    match source.kind:
        case "function":
            return Callees(functions=(source.node,))
        case "class":
            return of_classes(plan, [source.node])
        case "import":
            return OUTSIDE
        case "value" if is_made_class(source.node):
            return Callees(classes=(source.node,))
        case "value":
            return find_functions(plan, source.node, source.scope, steps + 1)
        case "parameter" if isinstance(source.node, cst.Param):
            owner = owner_of_self(source.node, source.scope)
            return of_classes(plan, [owner]) if owner is not None else UNKNOWN
    return UNKNOWN


def methods(plan: RenamePlan, node: cst.Attribute, scope: Scope) -> Callees:
    """The methods of the program that an attribute may be."""
    kind, name = plan.objects.kind(node.value, scope), node.attr.value
    if kind in (Origin.FOREIGN, Origin.CONTAINER, Origin.EMPTY):
        return OUTSIDE
    if name == "__class__":
        return of_classes(plan, enclosing_classes(scope))
    if isinstance(node.value, cst.Call) and last_name(node.value.func) == "super":
        bases = [base for each in enclosing_classes(scope) for base in own_bases(plan, each)]
        return of_classes(plan, bases) if name in MAKERS else methods_named(plan, name)
    found = methods_named(plan, name)
    if not found.functions and name in plan.program.attribute_sources:
        return UNKNOWN
    return UNKNOWN if found.functions and kind is Origin.UNSURE else found


def methods_named(plan: RenamePlan, name: str) -> Callees:
    return Callees(
        tuple(
            each.node
            for each in plan.program.nodes_of(cst.FunctionDef)
            if isinstance(each.node, cst.FunctionDef)
            and each.node.name.value == name
            and nearest_class(each.scope) is not None
        )
    )


def of_classes(plan: RenamePlan, classes: list[cst.CSTNode]) -> Callees:
    """What making an object of these classes runs: their `__init__`, or the one that they inherit."""
    functions, fields = list[cst.CSTNode](), list[cst.CSTNode]()
    for each in classes:
        own = list(makers(plan, each, 0))
        functions += own
        fields += [] if own else [each]
    return Callees(tuple(functions), tuple(fields))


def makers(plan: RenamePlan, node: cst.CSTNode, steps: int) -> Iterator[cst.CSTNode]:
    inner = plan.program.inner.get(id(node))
    own = [
        source.node
        for name in MAKERS
        for source in (plan.program.sources_of(inner, name) if inner else [])
        if source.kind == "function"
    ]
    yield from own
    if not own and steps < 10:
        for base in own_bases(plan, node):
            yield from makers(plan, base, steps + 1)


def own_bases(plan: RenamePlan, node: cst.CSTNode) -> list[cst.CSTNode]:
    """The classes of the program that a class inherits from."""
    inner = plan.program.inner.get(id(node))
    if not isinstance(node, cst.ClassDef) or inner is None or inner.parent is None:
        return []
    return [
        source.node
        for base in node.bases
        if isinstance(base.value, cst.Name)
        for source in plan.program.sources_of(inner.parent.home(base.value.value), base.value.value)
        if source.kind == "class"
    ]


def enclosing_classes(scope: Scope) -> list[cst.CSTNode]:
    """The class that code stands in."""
    found = nearest_class(scope)
    return [found.node] if found is not None and found.node is not None else []


def nearest_class(scope: Scope | None) -> Scope | None:
    while scope is not None and scope.kind != CLASS:
        scope = scope.parent
    return scope
