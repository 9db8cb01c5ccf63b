"""Renames a name of the program in all turns, without a model."""

import ast
import builtins
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mtchat.errors import MtchatError
from mtchat.features.correction.facts import TurnFacts, turn_facts
from mtchat.generate.postprocess import rename_in
from mtchat.session.names import parse_module
from mtchat.session.source import Edit, SourceText
from mtchat.session.turn import Turn

FORMATTED = re.compile(
    r"""(?<![\w"'])(?:[fF][rR]?|[rR][fF])(?P<quote>"{3}|'{3}|"|')(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P=quote)""",
    re.DOTALL,
)
FIELD = re.compile(r"(?<!\{)(?:\{\{)*\{(?!\{)[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
ATTRIBUTES = ("getattr", "setattr", "hasattr", "delattr")
WHOLE = r"(?<=['\"])NAME(?=['\"])"
FORMAT_FIELD = r"(?<!\{)(?:\{\{)*\{NAME(?=[}!:.\[])"
SCOPES = ("locals", "globals", "vars")
BUILT_IN = (str, bytes, int, float, list, tuple, dict, set)


@dataclass(frozen=True)
class Rename:
    """A name and its replacement."""

    old: str
    new: str


def can_rename(rename: Rename, path: Sequence[Turn]) -> bool:
    """Whether rules can do it: the program itself defines the old name, and it does not come from an import.

    An attribute that built-in types also have cannot be distinguished from theirs.
    """
    turns = turn_facts(path)
    nodes = [node for each in turns for node in each.nodes]
    if not all(parse_module(each.turn.chunk) for each in turns) or is_imported(rename.old, nodes):
        return False
    if any(is_evaluated(each.turn.chunk, rename.old) for each in turns):
        return False
    owned = is_attribute(rename.old, nodes)
    if owned and any(hasattr(kind, rename.old) for kind in BUILT_IN):
        return False
    return owned or rename.old in value_names(nodes)


def check_rename(rename: Rename, path: Sequence[Turn]) -> None:
    """Raises MtchatError if the new name is invalid or already in use."""
    if not rename.new.isidentifier() or keyword.iskeyword(rename.new):
        raise MtchatError(f"{rename.new!r} is not a valid Python name; choose another name for {rename.old}")
    for each in turn_facts(path):
        if rename.new in each.spells and rename.new not in only_in_words(each, rename.new):
            raise MtchatError(
                f"{rename.new} is already used in turn {each.number}; choose another name for {rename.old}"
            )
    if hasattr(builtins, rename.new):
        raise MtchatError(f"{rename.new} is a Python built-in; choose another name for {rename.old}")


def only_in_words(turn: TurnFacts, name: str) -> frozenset[str]:
    """The name, if it occurs only in texts and comments."""
    used = value_names(turn.nodes) | {each.attr for each in turn.nodes if isinstance(each, ast.Attribute)}
    return frozenset() if name in used else frozenset([name])


def value_names(nodes: Sequence[ast.AST]) -> frozenset[str]:
    """All names in code that stand for a value: variables, parameters, functions, classes."""
    found = set[str]()
    for each in nodes:
        match each:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.alias(asname=str(name)):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                found.add(name)
    return frozenset(found)


def is_imported(name: str, nodes: Sequence[ast.AST]) -> bool:
    return any(
        isinstance(each, ast.alias) and each.asname is None and each.name.split(".")[0] == name
        for each in nodes
    )


def is_attribute(name: str, nodes: Sequence[ast.AST]) -> bool:
    """Whether a class of the program has such an attribute or method."""
    for each in nodes:
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and each.attr == name:
            return True
        if isinstance(each, ast.ClassDef):
            inside = (getattr(part, "name", "") for part in each.body)
            fields = (
                getattr(target, "id", "")
                for part in each.body
                if isinstance(part, ast.Assign | ast.AnnAssign)
                for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
            )
            if name in (*inside, *fields):
                return True
    return False


def is_parameter(name: str, nodes: Sequence[ast.AST]) -> bool:
    """Whether a function of the program has such a parameter, which calls may name."""
    return any(isinstance(each, ast.arg) and each.arg == name for each in nodes)


def rename_everywhere(rename: Rename, path: Sequence[Turn]) -> tuple[str, ...]:
    """The chunks of a path with the name changed; spacing and comments stay.

    The edited text is compared with the edited syntax tree; if they differ, the code is generated from the
    tree.
    """
    check_rename(rename, path)
    nodes = [node for each in turn_facts(path) for node in each.nodes]
    owned, named = (
        is_attribute(rename.old, nodes),
        is_parameter(rename.old, nodes) or is_attribute(rename.old, nodes),
    )
    return tuple(rename_in_code(turn.chunk, rename, owned, named) for turn in path)


def rename_in_code(code: str, rename: Rename, owned: bool, named: bool) -> str:
    code = rename_in_strings(code, rename.old, rename.new, owned)
    module = parse_module(code)
    if module is None or rename.old not in code:
        return code
    before = ast.dump(module)
    wanted = RenameTransformer(rename, owned, named).visit(module)
    if ast.dump(wanted) == before:
        return code
    for text in (rename_in(code, rename.old, rename.new), rename_spelling(code, rename)):
        now = parse_module(rename_in_fstrings(text, rename))
        if now is not None and ast.dump(now) == ast.dump(wanted):
            return rename_in_fstrings(text, rename)
    return ast.unparse(wanted)


def rename_spelling(code: str, rename: Rename) -> str:
    """The code with the name changed in attributes and keyword arguments too."""
    dotted = re.sub(rf"(?<=\.){rename.old}\b", rename.new, rename_in(code, rename.old, rename.new))
    return re.sub(rf"(?<=[(,\s]){rename.old}(?=\s*=[^=])", rename.new, dotted)


def rename_in_fstrings(code: str, rename: Rename) -> str:
    """The code with the name changed in the expressions of f-strings."""
    word = re.compile(rf"(?<![\w.\"']){rename.old}\b(?![\"'])")
    dotted = re.compile(rf"(?<=self\.){rename.old}\b")

    def field(match: re.Match[str]) -> str:
        return dotted.sub(rename.new, word.sub(rename.new, match[0]))

    def text(match: re.Match[str]) -> str:
        start, end = match.start("text") - match.start(), match.end("text") - match.start()
        return match[0][:start] + FIELD.sub(field, match["text"]) + match[0][end:]

    return FORMATTED.sub(text, code)


@dataclass
class RenameTransformer(ast.NodeTransformer):
    """Changes a name in a tree: in attributes if `owned`, in keyword arguments if `named`."""

    rename: Rename
    owned: bool
    named: bool

    def visit(self, node: ast.AST) -> Any:
        for field, value in ast.iter_fields(node):
            if isinstance(value, str) and value == self.rename.old and self.is_name(node, field):
                setattr(node, field, self.rename.new)
            elif isinstance(node, ast.Global | ast.Nonlocal) and field == "names":
                node.names = [self.rename.new if each == self.rename.old else each for each in node.names]
        return self.generic_visit(node)

    def is_name(self, node: ast.AST, field: str) -> bool:
        if isinstance(node, ast.Attribute):
            return self.owned
        if isinstance(node, ast.keyword):
            return self.named
        return not isinstance(node, ast.Constant | ast.ImportFrom) and (field, type(node)) != (
            "name",
            ast.alias,
        )


@dataclass(frozen=True)
class LookupString:
    """A string that looks up a name; `field` is the pattern of the name in it."""

    node: ast.Constant
    field: str
    attribute: bool


def rename_in_strings(code: str, old: str, new: str, owned: bool) -> str:
    """The code with a name changed in strings that look it up; attributes only if `owned`."""
    source, edits = SourceText(code), list[Edit]()
    for each in lookup_strings(code):
        if each.attribute and not owned:
            continue
        start, end = source.start(each.node), source.end(each.node)
        written = source.text(start, end)
        pattern = each.field.replace("NAME", rf"{re.escape(old)}(?!\w)")
        text = re.sub(pattern, lambda match: match[0].replace(old, new), written)
        if text != written:
            edits.append(Edit(start, end, text))
    made = source.apply_edits(0, len(source.data), sorted(set(edits), key=lambda edit: edit.start))
    return code if parse_module(made) is None else made


def lookup_strings(code: str) -> Iterator[LookupString]:
    """The strings in code that look up names: in a scope, an object, a format or a type hint."""
    for node in ast.walk(parse_module(code) or ast.Module([], [])):
        match node:
            case ast.Call(func=ast.Name(id=function), args=[_, ast.Constant() as name, *_]):
                if function in ATTRIBUTES:
                    yield from lookup_string(name, WHOLE, attribute=True)
            case ast.Call(
                func=ast.Attribute(attr="attrgetter") | ast.Name(id="attrgetter"), args=list(found)
            ):
                for each in found:
                    yield from lookup_string(each, r"(?<=['\"])NAME(?=['\".])", attribute=True)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                parts = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
                for each in parts:
                    yield from lookup_string(each, WHOLE, attribute=True)
            case ast.BinOp(left=ast.Constant() as text, op=ast.Mod(), right=right) if is_scope(right):
                yield from lookup_string(text, r"(?<=%\()NAME(?=\))")
            case ast.Call(func=ast.Attribute(value=ast.Constant() as text, attr="format"), keywords=given):
                if any(each.arg is None and is_scope(each.value) for each in given):
                    yield from lookup_string(text, FORMAT_FIELD)
            case ast.Call(
                func=ast.Attribute(value=ast.Constant() as text, attr="format_map"), args=[given_map]
            ):
                if is_scope(given_map):
                    yield from lookup_string(text, FORMAT_FIELD)
            case (
                ast.arg(annotation=ast.expr() as hint)
                | ast.AnnAssign(annotation=hint)
                | ast.FunctionDef(returns=ast.expr() as hint)
                | ast.AsyncFunctionDef(returns=ast.expr() as hint)
            ):
                for each in type_hint_strings(hint):
                    yield from lookup_string(each, r"(?<![\w.])NAME")
            case ast.Subscript(value=space, slice=ast.Constant() as name) if is_scope(space):
                yield from lookup_string(name, WHOLE)
            case ast.Subscript(value=ast.Attribute(attr="__dict__"), slice=ast.Constant() as name):
                yield from lookup_string(name, WHOLE, attribute=True)


def lookup_string(node: ast.expr, field: str, attribute: bool = False) -> Iterator[LookupString]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield LookupString(node, field, attribute)


def type_hint_strings(annotation: ast.expr) -> Iterator[ast.expr]:
    """The strings in an annotation that name types: those that parse, but not literal values."""
    match annotation:
        case ast.Constant(value=str(text)):
            if parse_module(text.strip()) is not None:
                yield annotation
        case ast.Subscript(
            value=ast.Name(id="Literal" | "Annotated") | ast.Attribute(attr="Literal" | "Annotated")
        ):
            return
        case _:
            for each in ast.iter_child_nodes(annotation):
                if isinstance(each, ast.expr):
                    yield from type_hint_strings(each)


def is_scope(node: ast.expr) -> bool:
    """Whether this is a call of locals(), globals() or vars()."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in SCOPES
        and not node.args
    )


def is_evaluated(code: str, name: str) -> bool:
    """Whether a name occurs in text that the program passes to eval or exec, which cannot be analysed."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("eval", "exec")
        and any(
            isinstance(each, ast.Constant) and re.search(rf"\b{re.escape(name)}\b", str(each.value))
            for argument in node.args
            for each in ast.walk(argument)
        )
        for node in ast.walk(parse_module(code) or ast.Module([], []))
    )
