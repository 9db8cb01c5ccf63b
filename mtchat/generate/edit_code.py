"""Merges the reply to a correction into the old chunk, statement by statement."""

import ast
import re
from collections.abc import Iterator, Sequence

from mtchat.edits.mend import add_imports
from mtchat.edits.statements import (
    StatementBlock,
    keep_statements,
    read_statements,
    replace_statements,
    shift_indent,
)
from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import can_edit
from mtchat.session.names import bound_names, dump, parse_module, unparse

BINDING = (
    ast.FunctionDef
    | ast.AsyncFunctionDef
    | ast.ClassDef
    | ast.Import
    | ast.ImportFrom
    | ast.Assign
    | ast.AnnAssign
    | ast.AugAssign
)
DEFINING = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPORTING = ast.Import | ast.ImportFrom

REMOVAL = (
    r"\b(?:remove|drop|delete|rid|leave out|omit|take out|without|no longer|not|don'?t|only|stop|no"
    r"|never|instead)\b"
)


def asks_to_remove(correction: str) -> bool:
    """Whether a correction wants something gone, so that the reply leaves it out on purpose."""
    return re.search(REMOVAL, correction, re.IGNORECASE) is not None


def splice(old: str, new: str, before: str, whole: bool) -> str:
    """The chunk that takes the place of `old`, on top of the program `before`.

    Repetitions of the program before are removed, and so are calls at the end that only try the code out. A
    reply that consists of some of the old chunk's definitions replaces only those, unless it is meant to be
    `whole`, because something is to be removed; likewise a class with only some of its members.
    """
    known, said = parse_module(old), parse_module(new)
    if known is None or said is None or not (can_edit(old) and can_edit(new)):
        return new
    if not whole and (filled := complete_classes(old, known.body, new, said.body)) != new:
        return splice(old, filled, before, whole)
    try:
        said_again = {dump(each) for each in (parse_module(before) or ast.Module([], [])).body}
        mine = {dump(each) for each in known.body}
        kept = [each for each in said.body if dump(each) in mine or dump(each) not in said_again]
    except RecursionError:
        return new
    kept = [each for each in kept if dump(each) in mine or not is_unused_import(each, kept)]
    if not any(isinstance(each, ast.Expr) for each in known.body):
        kept = kept[: len(kept) - len(trailing_calls(kept))]
    if not kept:
        return new
    if not whole and is_partial(known.body, kept):
        return replace_definitions(old, known.body, new, said.body, kept)
    if len(kept) == len(said.body):
        return new
    stays = [at for at, each in enumerate(said.body) if each in kept]
    return keep_statements(new, stays).strip("\n").rstrip()


def complete_classes(old: str, body: Sequence[ast.stmt], new: str, said: Sequence[ast.stmt]) -> str:
    """The new code, with its classes completed by the old members that it leaves out.

    If it consists of such classes only, the result is the old code with the new members in place.
    """
    before, after = read_statements(old), read_statements(new)
    theirs = {each.name: at for at, each in enumerate(body) if isinstance(each, ast.ClassDef)}
    inside, around = list[TextEdit](), list[TextEdit]()  # of the old code; of the new code
    for at, each in enumerate(said):
        if not isinstance(each, ast.ClassDef) or each.name not in theirs:
            continue
        place = theirs.pop(each.name)
        known = body[place]
        assert isinstance(known, ast.ClassDef)
        edits = member_edits(before.inner(place), known, after.inner(at), each)
        if edits:
            inside += edits
            mine, fresh = before.statements[place], after.statements[at]
            around.append(TextEdit(fresh.start, fresh.end, apply_edits(old, edits, mine.start, mine.end)))
    made = apply_edits(old, inside) if around and len(around) == len(said) else apply_edits(new, around)
    return new if parse_module(made) is None else made


def member_edits(
    old: StatementBlock, known: ast.ClassDef, new: StatementBlock, said: ast.ClassDef
) -> list[TextEdit]:
    """The edits that put members of a class into another with the same head, in the place of its own.

    None if the new class has all the members, or may leave some out on purpose: it adds some and lacks others
    that are not methods, though it has such itself.
    """
    first = 1 if ast.get_docstring(said) is not None else 0
    if len(said.body) == first or class_head(known) != class_head(said):
        return []
    keys = keys_of(known.body)
    changes, added = dict[int, list[str]](), list[str]()
    for at, each in enumerate(said.body[first:], start=first):
        names = names_of(each) if isinstance(each, BINDING) else frozenset[str]()
        places = [place for place, bind in enumerate(keys) if bind & names]
        if len(places) > 1 or not names or (places and keys[places[0]] != names):
            return []
        fresh = new.statements[at]
        text = shift_indent(new.tree.code, fresh.start, fresh.end, new.indent, old.indent)
        if places:
            changes.setdefault(places[0], []).append(text)
        else:
            added.append(text)
    lacking = [each for at, each in enumerate(known.body) if isinstance(each, BINDING) and at not in changes]
    elided = all(isinstance(each, DEFINING) for each in lacking) or all(
        isinstance(each, DEFINING) for each in said.body[first:]
    )
    if any(len(texts) > 1 for texts in changes.values()) or not lacking or (added and not elided):
        return []
    return [*old.replacements(changes), *old.additions(added)]


def class_head(each: ast.ClassDef) -> list[str]:
    """The head of a class: its decorators, bases and keywords."""
    return [dump(part) for part in (*each.decorator_list, *each.bases, *each.keywords)]


def is_unused_import(statement: ast.stmt, body: Sequence[ast.stmt]) -> bool:
    """Whether a statement only imports names that no other statement uses."""
    if not isinstance(statement, IMPORTING) or not names_of(statement):
        return False
    used = {node.id for each in body for node in ast.walk(each) if isinstance(node, ast.Name)}
    return not used & names_of(statement)


def trailing_calls(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The calls at the end of code that begins with definitions."""
    if not body or not isinstance(body[0], DEFINING | IMPORTING):
        return []
    end = len(body)
    while end and isinstance(body[end - 1], ast.Expr) and isinstance(called(body[end - 1]), ast.Call):
        end -= 1
    return list(body[end:])


def called(statement: ast.stmt) -> ast.expr | None:
    return statement.value if isinstance(statement, ast.Expr) else None


def is_partial(old: Sequence[ast.stmt], new: Sequence[ast.stmt]) -> bool:
    """Whether a reply has only some of the definitions of a chunk, each of them once."""
    if not all(isinstance(each, BINDING) for each in new):
        return False
    mine = [
        keys for each, keys in zip(new, keys_of(new, False), strict=True) if not isinstance(each, IMPORTING)
    ]
    names = [name for keys in mine for name in keys]
    theirs = [name for keys in keys_of(old) for name in keys]
    within = {
        name
        for each, keys in zip(old, keys_of(old), strict=True)
        if isinstance(each, BINDING)
        for name in keys
    }
    once = len(set(names)) == len(names) and all(theirs.count(name) == 1 for name in names)
    return (
        once
        and all(mine)
        and within.issuperset(names)
        and len([each for each in new if not isinstance(each, IMPORTING)])
        < len([each for each in old if not isinstance(each, IMPORTING)])
    )


def names_of(statement: ast.stmt) -> frozenset[str]:
    return bound_names(unparse(statement))


def keys_of(body: Sequence[ast.stmt], first: bool = True) -> list[frozenset[str]]:
    """The targets of each statement: names, and attributes and items as they are written.

    An augmented assignment such as `x += 1` counts as a target only if it is the `first` for its name.
    """
    given = [
        frozenset() if isinstance(each, ast.AugAssign) else names_of(each) | places(each) for each in body
    ]
    known = frozenset[str]().union(*given)
    found = []
    for each, keys in zip(body, given, strict=True):
        if isinstance(each, ast.AugAssign):
            target = unparse(each.target)
            keys = frozenset([f"{target} {type(each.op).__name__}", *({target} - known if first else ())])
        found.append(keys)
    return found


def places(statement: ast.stmt) -> frozenset[str]:
    """The attributes and items that a statement assigns to."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return frozenset(unparse(each) for each in targets if isinstance(each, ast.Attribute | ast.Subscript))


def replace_definitions(
    old: str, body: Sequence[ast.stmt], new: str, said: Sequence[ast.stmt], fresh: Sequence[ast.stmt]
) -> str:
    """The old code with statements replaced by new ones that bind the same names; new imports first.

    A statement that also binds other names stays, and the new one follows it.
    """
    before, after = read_statements(old), read_statements(new)
    texts = [after.text(at) for at, each in enumerate(said) if each in fresh]
    theirs = {name: at for at, keys in enumerate(keys_of(fresh, False)) for name in keys}
    imports = {dump(each) for each in body if isinstance(each, IMPORTING)}
    head = [
        text
        for each, text in zip(fresh, texts, strict=True)
        if isinstance(each, IMPORTING) and dump(each) not in imports
    ]
    changes: dict[int, list[str]] = {}
    used: set[int] = set()
    for at, (each, bind) in enumerate(zip(body, keys_of(body), strict=True)):
        if not isinstance(each, BINDING) or isinstance(each, IMPORTING):
            continue
        shared = sorted({theirs[name] for name in bind & theirs.keys()})
        shared = [place for place in shared if not isinstance(fresh[place], IMPORTING)]
        if shared:
            whole = isinstance(each, ast.AugAssign) or bind <= theirs.keys()
            stays = [] if whole else [before.text(at)]
            changes[at] = [*stays, *(texts[place] for place in shared if place not in used)]
            used |= {*shared}
    return add_imports(replace_statements(old, changes), head)


def redefined_turn(path: Sequence[str], chunk: str) -> int:
    """The index of the one earlier chunk whose definitions a chunk writes again; -1 for none.

    The chunk must contain nothing else, imports aside.
    """
    module = parse_module(chunk)
    if module is None or not all(isinstance(each, DEFINING | IMPORTING) for each in module.body):
        return -1
    names = {each.name for each in module.body if isinstance(each, DEFINING)}
    places = {place for place, code in enumerate(path) if names & set(definitions(code))}
    if not names or len(places) != 1:
        return -1
    place = places.pop()
    return place if names <= set(definitions(path[place])) else -1


def definitions(code: str) -> Iterator[str]:
    """The functions and classes that code defines at its top level."""
    module = parse_module(code)
    for each in module.body if module else ():
        if isinstance(each, DEFINING):
            yield each.name
