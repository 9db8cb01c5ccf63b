"""Attributes of the classes of a program: their definitions, their uses, and the strings that name them."""

from __future__ import annotations

import builtins
import re

from mtchat.edits.calls import find_callees, own_bases
from mtchat.edits.library import cst
from mtchat.edits.lookups import FORMAT_FIELD, PERCENT_FIELD
from mtchat.edits.objects import MAKING_CLASSES, OUTSIDE, Origin, is_made_class, last_name
from mtchat.edits.plan import RenamePlan
from mtchat.edits.scopes import CLASS, Placed, Scope

BUILT_IN = (str, bytes, int, float, list, tuple, dict, set)
BY_NAME = ("getattr", "setattr", "hasattr", "delattr")
AS_DICT = ("asdict", "_asdict", "fields", "getmembers", "get_type_hints")
DICTS = ("__dict__", "__annotations__", "__dataclass_fields__", "_fields")
TABLES = ("__slots__", "__match_args__")
FREE_BASES = (  # classes that have no attributes which a program may not rename
    *("object", "ABC", "Protocol", "Generic", "NamedTuple", "ABCMeta"),
    *("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"),
)
REPLACING = ("replace", "_replace", "evolve")


def has_attribute(plan: RenamePlan) -> bool:
    """Whether a class of the program has an attribute or method of the old name."""
    if plan.old in plan.program.attribute_sources or class_scopes(plan):
        return True
    tables = (each for each in plan.program.nodes_of(cst.Assign) if is_table(each))
    return any(plan.word.search(plan.tree(each).text(each.node)) for each in tables) or any(
        field_strings(plan, each) for each in plan.program.nodes_of(cst.Call)
    )


def class_scopes(plan: RenamePlan) -> set[Scope]:
    """The classes that bind the name in their body."""
    return {use.home for use in plan.program.uses if use.node.value == plan.old and use.home.kind == CLASS}


def rename_attributes(plan: RenamePlan) -> None:
    """Change an attribute wherever it surely is one of the program's, or refuse."""
    check_bases(plan)
    for place in plan.program.nodes:
        match place.node:
            case cst.Attribute():
                rename_access(plan, place)
            case cst.Call():
                rename_in_call(plan, place)
            case cst.MatchClass():
                rename_pattern(plan, place)
            case cst.Assign() if is_table(place):
                rename_table(plan, place)
            case cst.Subscript():
                rename_member(plan, place)
    for place in plan.literals:
        check_format_text(plan, place)


def is_ours(plan: RenamePlan, place: Placed, node: cst.CSTNode, certain: bool = False) -> bool:
    """Whether an object is one of the program's; a refusal if that cannot be told."""
    kind = plan.objects.kind(node, place.scope)
    if kind in OUTSIDE:
        return False
    doubtful = certain or any(hasattr(each, plan.old) for each in BUILT_IN)
    if kind is Origin.UNSURE or (kind is not Origin.OWN and doubtful):
        raise plan.refuse(place, "it is not certain that this object is one of the program's classes")
    return True


def rename_access(plan: RenamePlan, place: Placed) -> None:
    """`x.old`, and the dictionaries of attributes such as `x.__dict__`."""
    node = place.node
    assert isinstance(node, cst.Attribute)
    name = node.attr.value
    if name in (plan.old, plan.new) and is_ours(plan, place, node.value):
        if name == plan.new:
            raise plan.refuse(place, f"{plan.new} is already used")
        plan.rename_word(place.turn, node.attr)
    elif name in DICTS and plan.objects.kind(node.value, place.scope) not in OUTSIDE:
        rename_in_dict(plan, place)
    elif re.fullmatch(rf"_\w+{re.escape(plan.old)}", name) and plan.old.startswith("__"):
        raise plan.refuse(place, "the private attribute is used by its full name")


def rename_in_dict(plan: RenamePlan, place: Placed) -> None:
    """A dictionary of attributes: the key it is asked for, or the fields of the text that it fills."""
    parent = plan.parent(place)
    match parent:
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=cst.SimpleString() as key))]):
            plan.rename_string(place, key)
            return
        case cst.BinaryOperation(left=cst.SimpleString() as text, operator=cst.Modulo()):
            plan.rename_string(place, text, PERCENT_FIELD)
            return
        case cst.Arg(star=star):
            match plan.parent(place, parent):
                case cst.Call(
                    func=cst.Attribute(value=cst.SimpleString() as text, attr=cst.Name(value=method))
                ) if (method, star) in (("format", "**"), ("format_map", "")):
                    plan.rename_string(place, text, FORMAT_FIELD)
                    return
    raise plan.refuse(place, "the program reads the names of attributes")


def rename_in_call(plan: RenamePlan, place: Placed) -> None:
    """Calls that name an attribute: `getattr`, `attrgetter`, `namedtuple`, the fields of a dataclass."""
    call = place.node
    assert isinstance(call, cst.Call)
    name = last_name(call.func)
    if plan.is_builtin(call.func, place.scope, BY_NAME) and len(call.args) > 1:
        rename_by_name(plan, place, call)
    elif plan.is_builtin(call.func, place.scope, ("vars",)) and call.args:
        if plan.objects.kind(call.args[0].value, place.scope) not in OUTSIDE:
            rename_in_dict(plan, place)
    elif plan.is_builtin(call.func, place.scope, ("dir",)) and call.args:
        if plan.objects.kind(call.args[0].value, place.scope) not in OUTSIDE:
            raise plan.refuse(place, "the program reads the names of attributes")
    elif name in AS_DICT:
        raise plan.refuse(place, "the program reads the names of attributes")
    elif name in ("attrgetter", "methodcaller"):
        for arg in call.args:
            if isinstance(arg.value, cst.SimpleString):
                plan.rename_string(place, arg.value, r"(?<![\w])NAME(?=\.|$)")
    for text in field_strings(plan, place):
        plan.rename_string(place, text, r"(?<!\w)NAME")
    if isinstance(call.func, cst.Attribute) and call.func.attr.value == "format":
        rename_format_fields(plan, place, call.func.value, call)
    rename_fields(plan, place, call)


def rename_by_name(plan: RenamePlan, place: Placed, call: cst.Call) -> None:
    """`getattr(x, "old")` and the like."""
    receiver, text = call.args[0].value, call.args[1].value
    if isinstance(text, cst.SimpleString):
        if plan.is_name(text) and is_ours(plan, place, receiver, certain=True):
            plan.rename_string(place, text)
        return
    if plan.objects.kind(receiver, place.scope) in OUTSIDE:
        return
    if any(plan.mentioning(exactly=True)) or not isinstance(text, cst.Name | cst.Attribute):
        raise plan.refuse(place, "the program looks attributes up by names that are not known")


def field_strings(plan: RenamePlan, place: Placed) -> list[cst.SimpleString]:
    """The strings that list the fields of a class which a call makes."""
    call = place.node
    if not isinstance(call, cst.Call) or last_name(call.func) not in MAKING_CLASSES[:4]:
        return []
    texts = [text for arg in call.args[1:2] for text in strings_in(arg.value)]
    return [text for text in texts if plan.word.search(str(text.evaluated_value))]


def strings_in(node: cst.CSTNode) -> list[cst.SimpleString]:
    if isinstance(node, cst.SimpleString):
        return [node]
    return [text for each in node.children for text in strings_in(each)]


def rename_fields(plan: RenamePlan, place: Placed, call: cst.Call) -> None:
    """The keywords that give the fields of a dataclass or named tuple."""
    given = [arg for arg in call.args if arg.keyword is not None and arg.keyword.value == plan.old]
    unpacked = [arg for arg in call.args if arg.star == "**"]
    if not given and not unpacked:
        return
    name = last_name(call.func)
    if name in REPLACING or name == "SimpleNamespace":
        first = call.func.value if isinstance(call.func, cst.Attribute) else None
        target = call.args[0].value if name != "_replace" and call.args[0].keyword is None else first
        ours = name == "SimpleNamespace" or (target is not None and is_ours(plan, place, target))
    else:
        classes = find_callees(plan, call, place.scope).classes
        ours = any(has_field(plan, each) for each in classes)
    if ours and unpacked:
        raise plan.refuse(place, "fields are given by names that are not known")
    for arg in given if ours else ():
        assert arg.keyword is not None
        plan.rename_word(place.turn, arg.keyword)


def has_field(plan: RenamePlan, node: cst.CSTNode, steps: int = 0) -> bool:
    """Whether a class, or one that it inherits from, has a field of the old name."""
    if is_made_class(node):
        return any(plan.word.search(str(text.evaluated_value)) for text in strings_in(node))
    inner = plan.program.inner.get(id(node))
    if inner is not None and plan.old in inner.bound:
        return True
    return steps < 10 and any(has_field(plan, base, steps + 1) for base in own_bases(plan, node))


def rename_pattern(plan: RenamePlan, place: Placed) -> None:
    """`case Point(old=...)`."""
    node = place.node
    assert isinstance(node, cst.MatchClass)
    for each in node.kwds:
        if each.key.value == plan.old and is_ours(plan, place, node.cls):
            plan.rename_word(place.turn, each.key)


def is_table(place: Placed) -> bool:
    """Whether this is `__slots__ = ...` or `__match_args__ = ...` in a class."""
    match place.node:
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            return name in TABLES and place.scope.kind == CLASS
    return False


def rename_table(plan: RenamePlan, place: Placed) -> None:
    node = place.node
    assert isinstance(node, cst.Assign)
    for text in strings_in(node.value):
        if plan.is_name(text):
            plan.rename_string(place, text)
        elif plan.word.search(str(text.evaluated_value)):
            raise plan.refuse(place, "the names of the attributes are read from a text")


def rename_member(plan: RenamePlan, place: Placed) -> None:
    """`Color["RED"]`: a member of an enumeration, by its name."""
    match place.node:
        case cst.Subscript(
            value=cst.Name(value=name),
            slice=[cst.SubscriptElement(slice=cst.Index(value=cst.SimpleString() as key))],
        ):
            sources = plan.program.sources_of(place.scope.home(name), name)
            if sources and all(each.kind == "class" or is_made_class(each.node) for each in sources):
                plan.rename_string(place, key)


def rename_format_fields(plan: RenamePlan, place: Placed, text: cst.CSTNode, call: cst.Call) -> None:
    """The attributes in the fields of a format: `"{0.old} {p.old}".format(p, p=p)`."""
    pattern = rf"\{{(?P<argument>\w*)(?:\.\w+|\[\w+\])*\.{re.escape(plan.old)}(?!\w)"
    if not isinstance(text, cst.SimpleString):
        return
    given = {str(at): arg.value for at, arg in enumerate(call.args) if arg.keyword is None}
    given |= {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
    automatic = iter(range(len(call.args)))
    for match in re.finditer(pattern, text.raw_value):
        argument = given.get(match["argument"] or str(next(automatic, 0)))
        if argument is None or (len(re.findall(r"\{", text.raw_value)) > 1 and not match["argument"]):
            raise plan.refuse(place, "it is not certain which object a field of the text belongs to")
        if is_ours(plan, place, argument):
            name = match["argument"]
            field = rf"(?<=\{{){name}(?:\.\w+|\[\w+\])*\.NAME"
            plan.rename_string(place, text, field)


def check_format_text(plan: RenamePlan, place: Placed) -> None:
    """Refuses if a text that may be a format, and is not filled where it stands, has such a field."""
    node, parent = place.node, plan.parent(place)
    assert isinstance(node, cst.SimpleString)
    filled = isinstance(parent, cst.Attribute) and parent.attr.value == "format"
    if not filled and re.search(rf"\{{[^{{}}]*\.{re.escape(plan.old)}(?!\w)[^{{}}]*\}}", node.raw_value):
        raise plan.refuse(place, "a text that may be a format has it as a field")


def check_bases(plan: RenamePlan) -> None:
    """Refuses if a class that has the attribute may owe it to a class from outside, which may use it."""
    for place in plan.program.nodes_of(cst.ClassDef):
        assert isinstance(place.node, cst.ClassDef)
        inner = plan.program.inner[id(place.node)]
        if plan.old not in inner.bound and not stores_attribute(plan, inner):
            continue
        for base in foreign_bases(plan, place.node, place.scope):
            name = last_name(base)
            known = getattr(builtins, name, None)
            free = name in FREE_BASES or (isinstance(known, type) and not hasattr(known, plan.old))
            if not free:
                raise plan.refuse(
                    Placed(place.turn, place.node.name, place.scope),
                    f"{name}, which the class inherits from, may have or use it",
                )


def foreign_bases(plan: RenamePlan, node: cst.ClassDef, scope: Scope, steps: int = 0) -> list[cst.CSTNode]:
    """The classes from outside that a class inherits from, also by way of others of the program."""
    own = own_bases(plan, node)
    names = {each.name.value for each in own if isinstance(each, cst.ClassDef)}
    bases = [base.value.value if isinstance(base.value, cst.Subscript) else base.value for base in node.bases]
    found: list[cst.CSTNode] = [
        base for base in bases if last_name(base) not in names and not isinstance(base, cst.Call)
    ]
    for each in own if steps < 10 else ():
        if isinstance(each, cst.ClassDef):
            found += foreign_bases(plan, each, scope, steps + 1)
    return found


def stores_attribute(plan: RenamePlan, inner: Scope) -> bool:
    """Whether a method of a class assigns to the attribute."""
    for source in plan.program.attribute_sources.get(plan.old, []):
        scope: Scope | None = source.scope
        while scope is not None:
            if scope is inner:
                return True
            scope = scope.parent
    return False
