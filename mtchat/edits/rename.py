"""Renames a name in the turns of a program, which then does what it did, or refuses with the reason."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Sequence

from mtchat.edits.attributes import class_scopes, has_attribute, rename_attributes
from mtchat.edits.calls import rename_keywords
from mtchat.edits.library import cst
from mtchat.edits.lookups import rename_lookups
from mtchat.edits.plan import RenamePlan, UnsafeRenameError
from mtchat.edits.scopes import CLASS, FUNCTION, NameUse, Scope, ScopedProgram, read_program
from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import BrokenCodeError, CodeTree, parse_tree

ATTRIBUTE_WORDS = ("method", "attribute", "property", "field", "member")
PARAMETER_WORDS = ("parameter", "argument")


def rename_name(codes: Sequence[str], old: str, new: str, kind: str = "") -> tuple[str, ...]:
    """The codes of a program's turns with a name changed; an error with the reason if that is not safe.

    A variable of the module is changed where the name means it; local ones of the same name stay. If there is
    none, the local variables, parameters and attributes of this name are changed. `kind`, such as "method" or
    "parameter", chooses among them.
    """
    check_new_name(old, new)
    try:
        plan = RenamePlan(read_program(parse_turns(codes)), old, new)
        choose_targets(plan, kind)
        check_free(plan)
        rename_uses(plan)
        rename_lookups(plan)
        rename_keywords(plan)
        if plan.attributes:
            rename_attributes(plan)
        made = tuple(apply_edits(code, plan.edits.get(turn, ())) for turn, code in enumerate(codes))
        if made == tuple(codes):
            raise UnsafeRenameError(f"no {old} in the program is surely what is meant; nothing was changed")
        check_meaning(plan, made)
    except RecursionError as error:
        raise UnsafeRenameError(f"{old} was not renamed: the code is nested too deeply to be read") from error
    return made


def binds_name(codes: Sequence[str], name: str) -> bool:
    """Whether the program itself binds a name: as a variable, parameter, function, class or attribute."""
    try:
        plan = RenamePlan(read_program(parse_turns(codes)), name, name)
        choose_targets(plan, "")
    except (BrokenCodeError, UnsafeRenameError, RecursionError):
        return False
    return True


def parse_turns(codes: Sequence[str]) -> list[CodeTree]:
    trees = list[CodeTree]()
    for turn, code in enumerate(codes, start=1):
        try:
            trees.append(parse_tree(code))
        except BrokenCodeError as error:
            raise BrokenCodeError(f"turn {turn}: {error}") from error
    return trees


def check_new_name(old: str, new: str) -> None:
    if not new.isidentifier() or keyword.iskeyword(new):
        raise UnsafeRenameError(f"{new!r} is not a valid Python name; choose another name for {old}")
    if hasattr(builtins, new):
        raise UnsafeRenameError(f"{new} is a Python built-in; choose another name for {old}")
    if old.startswith("__") and old.endswith("__"):
        raise UnsafeRenameError(f"{old} has a meaning for Python itself; it cannot be renamed")


def choose_targets(plan: RenamePlan, kind: str) -> None:
    """The variables, parameters or attributes that are meant."""
    program = plan.program
    homes = {use.home for use in program.uses if use.binds and use.node.value == plan.old}
    attribute = has_attribute(plan)
    local = {home for home in homes if home is not program.module and home.kind != CLASS}
    parameters = {home for home in local if is_parameter(plan, home)}
    if kind in ATTRIBUTE_WORDS and attribute:
        plan.attributes = True
    elif kind in PARAMETER_WORDS and parameters:
        plan.variables = parameters
    elif program.module in homes:
        plan.variables = {program.module}
    else:
        plan.variables, plan.attributes = local, attribute
    if plan.attributes:
        plan.variables = plan.variables | class_scopes(plan)
    plan.functions = plan.variables & parameters
    if not plan.variables and not plan.attributes:
        raise UnsafeRenameError(f"the program does not define {plan.old}; /vars lists its names")


def is_parameter(plan: RenamePlan, home: Scope) -> bool:
    sources = plan.program.sources_of(home, plan.old)
    return home.kind == FUNCTION and any(each.kind == "parameter" for each in sources)


def check_free(plan: RenamePlan) -> None:
    """Refuses a new name that the same scope has already."""
    for use in plan.program.uses:
        if use.node.value == plan.new and use.home in plan.variables:
            raise used_already(plan, use)


def used_already(plan: RenamePlan, use: NameUse) -> UnsafeRenameError:
    return UnsafeRenameError(
        f"{plan.new} is already used in turn {use.turn + 1}; choose another name for {plan.old}"
    )


def rename_uses(plan: RenamePlan) -> None:
    """Every name that means one of the variables; an import keeps what it imports and gets an `as`."""
    imported = {
        id(alias.name): alias
        for place in plan.program.nodes_of(cst.ImportAlias)
        if isinstance(alias := place.node, cst.ImportAlias) and alias.asname is None
    }
    dotted = {
        id(root_of(alias.name)): place
        for place in plan.program.nodes_of(cst.ImportAlias)
        if isinstance(alias := place.node, cst.ImportAlias)
        and isinstance(alias.name, cst.Attribute)
        and alias.asname is None
    }
    for use in plan.program.uses:
        if use.node.value != plan.old or use.home not in plan.variables:
            continue
        if id(use.node) in dotted:
            raise plan.refuse(dotted[id(use.node)], "an import of several names in one binds it")
        if id(use.node) in imported:
            end = plan.program.trees[use.turn].span(use.node).end
            plan.add(use.turn, TextEdit(end, end, f" as {plan.new}"))
        else:
            plan.rename_word(use.turn, use.node)


def root_of(node: cst.CSTNode) -> cst.CSTNode:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node


def check_meaning(plan: RenamePlan, made: Sequence[str]) -> None:
    """Refuses if a name of the new program means another variable than before."""
    before = plan.program
    after = read_program([parse_tree(code) for code in made])
    wanted = meanings(before, plan)
    found = meanings(after, None)
    for use, (name, place), (now, there) in zip(before.uses, wanted, found, strict=True):
        if (name, place) != (now, there):
            clash = next((each for each in before.uses if each.node.value == plan.new), use)
            raise used_already(plan, clash)


def meanings(program: ScopedProgram, plan: RenamePlan | None) -> list[tuple[str, int]]:
    """Each name with the number of the scope whose variable it means; with `plan`, as it is to be."""
    numbers: dict[int, int] = {id(program.module): 0}
    found = list[tuple[str, int]]()
    for use in program.uses:
        for scope in (use.scope, use.home):
            numbers.setdefault(id(scope), len(numbers))
        name = use.node.value
        if plan is not None and name == plan.old and use.home in plan.variables:
            name = plan.new
        found.append((name, numbers[id(use.home)]))
    return found
