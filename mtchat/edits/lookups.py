"""Strings that look up variables: in `globals()`, in formats, in type hints, in `__all__`, in `eval`."""

from __future__ import annotations

import re

from mtchat.edits.library import cst
from mtchat.edits.objects import last_name
from mtchat.edits.plan import RenamePlan
from mtchat.edits.scopes import Placed, ScopedProgram, ScopeReader
from mtchat.edits.text import TextEdit
from mtchat.edits.tree import BrokenCodeError, parse_tree

SCOPES = ("locals", "globals", "vars")
GETTING = ("get", "pop", "setdefault", "__getitem__", "__contains__")
PERCENT_FIELD = r"(?<=%\()NAME(?=\))"
FORMAT_FIELD = r"(?<!\{)(?:\{\{)*\{NAME(?=[}!:.\[])"
TIMED = ("timeit", "repeat", "Timer", "runctx")
NO_TYPES = ("Literal", "Annotated")


def rename_lookups(plan: RenamePlan) -> None:
    """Change the strings that look up one of the variables of a plan; refuse where that cannot be known."""
    for each in plan.program.nodes_of(cst.Call):
        assert isinstance(each.node, cst.Call)
        if plan.is_builtin(each.node.func, each.scope, SCOPES) and not each.node.args:
            if sees_variable(plan, each):
                rename_in_scope_lookup(plan, each)
        elif plan.is_builtin(each.node.func, each.scope, ("eval", "exec", "compile")):
            check_evaluated(plan, each)
        else:
            check_foreign_text(plan, each)
            rename_type_arguments(plan, each)
    for each in plan.program.nodes_of(cst.Annotation):
        assert isinstance(each.node, cst.Annotation)
        rename_hint(plan, each, each.node.annotation)
    if plan.program.module in plan.variables:
        rename_exports(plan)
        check_module_lookups(plan)
    check_doctests(plan)


def sees_variable(plan: RenamePlan, place: Placed) -> bool:
    """Whether `globals()`, `locals()` or `vars()` has one of the variables of a plan."""
    assert isinstance(place.node, cst.Call)
    if last_name(place.node.func) == "globals":
        return plan.program.module in plan.variables
    here = place.scope.assigning
    home = here.home(plan.old)
    return home in plan.variables and (home is not plan.program.module or here is home)


def rename_in_scope_lookup(plan: RenamePlan, place: Placed) -> None:
    """The name in what uses a dictionary of variables, or a refusal if another name can be looked up."""
    parent = plan.parent(place)
    if isinstance(parent, cst.Expr) or rename_key_lookup(plan, place, parent):
        return
    if not rename_formatted(plan, place, parent):
        raise plan.refuse(place, "the program may look it up by its name")


def rename_key_lookup(plan: RenamePlan, place: Placed, parent: cst.CSTNode | None) -> bool:
    """The name as the key of a dictionary of names; whether it is used with one known key only."""
    key: cst.CSTNode | None = None
    match parent:
        case cst.Subscript(value=value, slice=[cst.SubscriptElement(slice=cst.Index(value=index))]):
            key = index if value is place.node else None
        case cst.Attribute(attr=cst.Name(value=method)) if method in GETTING:
            call = plan.parent(place, parent)
            key = call.args[0].value if isinstance(call, cst.Call) and call.args else None
        case cst.ComparisonTarget(operator=cst.In() | cst.NotIn()):
            comparison = plan.parent(place, parent)
            single = isinstance(comparison, cst.Comparison) and len(comparison.comparisons) == 1
            key = comparison.left if single and isinstance(comparison, cst.Comparison) else None
    if isinstance(key, cst.SimpleString):
        plan.rename_string(place, key)
        return True
    return False


def rename_formatted(plan: RenamePlan, place: Placed, parent: cst.CSTNode | None) -> bool:
    """The name in a text that is filled from a dictionary of names; whether that is how it is used."""
    match parent:
        case cst.BinaryOperation(left=cst.SimpleString() as text, operator=cst.Modulo()):
            plan.rename_string(place, text, PERCENT_FIELD)
            return True
        case cst.Arg(star=star):
            call = plan.parent(place, parent)
            match call:
                case cst.Call(
                    func=cst.Attribute(value=cst.SimpleString() as text, attr=cst.Name(value=method))
                ):
                    if (method, star) in (("format", "**"), ("format_map", "")):
                        plan.rename_string(place, text, FORMAT_FIELD)
                        return True
    return False


def check_evaluated(plan: RenamePlan, place: Placed) -> None:
    """Refuses if text that is evaluated has the name, or may have it."""
    assert isinstance(place.node, cst.Call)
    first = place.node.args[0].value if place.node.args else None
    if isinstance(first, cst.SimpleString):
        wrong = plan.word.search(str(first.evaluated_value)) is not None
    else:
        built = not isinstance(first, cst.Name | cst.Call | cst.Attribute | cst.Subscript)
        wrong = built or last_name(place.node.func) == "exec" or any(plan.mentioning())
    if wrong:
        raise plan.refuse(place, "the program evaluates text that may have the name in it")


def check_foreign_text(plan: RenamePlan, place: Placed) -> None:
    """Refuses if a library is given code as text with the name in it."""
    assert isinstance(place.node, cst.Call)
    name = last_name(place.node.func)
    for arg in place.node.args:
        if not isinstance(arg.value, cst.SimpleString):
            continue
        text = str(arg.value.evaluated_value)
        timed = name in TIMED and plan.word.search(text)
        queried = name in ("query", "eval") and f"@{plan.old}" in text
        patched = re.search(rf"__main__\.(?:\w+\.)*{re.escape(plan.old)}\b", text)
        if timed or queried or patched:
            raise plan.refuse(place, "a library reads the name from a text")


def rename_type_arguments(plan: RenamePlan, place: Placed) -> None:
    """Type hints that are arguments: of `cast`, and the bound of a type variable."""
    assert isinstance(place.node, cst.Call)
    name = last_name(place.node.func)
    for position, arg in enumerate(place.node.args):
        bound = name == "TypeVar" and arg.keyword is not None and arg.keyword.value == "bound"
        if bound or (name == "cast" and position == 0):
            rename_hint(plan, place, arg.value)


def rename_hint(plan: RenamePlan, place: Placed, hint: cst.CSTNode) -> None:
    """The variables in the strings of a type hint."""
    match hint:
        case cst.SimpleString():
            rename_in_hint_text(plan, place, hint)
        case cst.Subscript(value=value, slice=parts) if last_name(value) in NO_TYPES:
            if last_name(value) == "Annotated" and parts and isinstance(parts[0].slice, cst.Index):
                rename_hint(plan, place, parts[0].slice.value)
        case _:
            for each in hint.children:
                rename_hint(plan, place, each)


def rename_in_hint_text(plan: RenamePlan, place: Placed, hint: cst.SimpleString) -> None:
    """The variables in a type hint that is written as a string; it stays if it is no expression."""
    span, raw = plan.tree(place).span(hint), hint.raw_value
    if "\\" in raw or not isinstance(hint.evaluated_value, str) or raw != raw.lstrip():
        return
    try:
        tree = parse_tree(raw)
    except BrokenCodeError:
        return
    start = plan.tree(place).code.index(raw, span.start + len(hint.prefix) + len(hint.quote)) if raw else 0
    found = ScopedProgram([tree], plan.program.module)
    for each in tree.module.body:
        ScopeReader(found, 0).visit(each, place.scope)
    for use in found.uses:
        if use.node.value == plan.old and use.home in plan.variables:
            word = tree.span(use.node)
            plan.add(place.turn, TextEdit(start + word.start, start + word.end, plan.new))


def rename_exports(plan: RenamePlan) -> None:
    """The name in `__all__`."""
    for each in plan.program.nodes:
        match each.node:
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value="__all__"))], value=value):
                rename_strings_in(plan, each, value)
            case cst.AugAssign(target=cst.Name(value="__all__"), value=value):
                rename_strings_in(plan, each, value)
            case cst.Call(func=cst.Attribute(value=cst.Name(value="__all__")), args=args):
                for arg in args:
                    rename_strings_in(plan, each, arg.value)


def rename_strings_in(plan: RenamePlan, place: Placed, node: cst.CSTNode) -> None:
    """Each string within a node that is the name."""
    if isinstance(node, cst.SimpleString):
        plan.rename_string(place, node)
    for each in node.children:
        rename_strings_in(plan, place, each)


def check_module_lookups(plan: RenamePlan) -> None:
    """Refuses if the program reaches the name as an attribute of its own module."""
    for each in plan.program.nodes:
        match each.node:
            case cst.Attribute(value=value, attr=cst.Name(value=plan.old)):
                receiver = value
            case cst.Call(func=cst.Name(value="getattr" | "setattr"), args=[first, *_]):
                receiver = first.value
            case _:
                continue
        text = plan.tree(each).text(receiver)
        if "__main__" in text or "modules[" in text:
            raise plan.refuse(each, "the program looks it up in its own module")


def check_doctests(plan: RenamePlan) -> None:
    """Refuses if examples in docstrings, which the program runs, have the name."""
    imported = (each for each in plan.program.nodes_of(cst.ImportAlias))
    if not any(
        isinstance(each.node, cst.ImportAlias) and each.node.evaluated_name == "doctest" for each in imported
    ):
        return
    for each in plan.program.nodes_of(cst.SimpleString):
        assert isinstance(each.node, cst.SimpleString)
        text = str(each.node.evaluated_value)
        if ">>>" in text and plan.word.search(text):
            raise plan.refuse(each, "an example in a docstring that the program runs has it")
