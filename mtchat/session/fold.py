"""Folds code to what later code needs of it: imports, names, signatures and docstrings; bodies go.

It is cut out of the text as it stands, so what stays is byte for byte what was there. Parts that are short
stay whole: leaving them out saves nothing, and they say how the code is written.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence

from mtchat.session.names import bound, tree
from mtchat.session.source import Edit, Source

SHORT = 48  # bytes that a part must save, or it stays
GONE = "..."
LITERALS = (
    (ast.List, "[...]"),
    (ast.Tuple, "(..., ...)"),
    (ast.Dict, "{...: ...}"),
    (ast.Set, "{...}"),
    (ast.JoinedStr, '"..."'),
)
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
DEFINES = (ast.Import, ast.ImportFrom, ast.NamedExpr, *DEFINITIONS)


def folded(code: str) -> str:
    """The code without bodies, long values and comments; as it is where it does not parse, or is no longer.

    All that it binds at its top level is still bound, and a folded code folds no further.
    """
    source = Source(re.sub(r"\r\n?", "\n", code))
    module = tree(source.code)
    if module is None or not module.body:
        return code
    text = uncommented("\n".join(pieces(source, module.body)))
    sound = tree(text) is not None and bound(code) <= bound(text)
    return text if sound and len(text) < len(code) else code


def pieces(source: Source, body: Sequence[ast.stmt]) -> Iterator[str]:
    """Each statement of a module, folded where that keeps its names."""
    for place, node in enumerate(body):
        start, end = source.start(node), source.end(node)
        whole = source.text(start, end)
        if place == 0 and documents(node):
            yield whole
            continue
        brief = source.changed(start, end, list(edits(source, node)))
        yield brief if tree(brief) is not None and bound(whole) <= bound(brief) else whole


def edits(source: Source, node: ast.stmt) -> Iterator[Edit]:
    """What goes of one statement, in the order of the text."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from body_of(source, node)
        case ast.ClassDef(body=[first, *rest]):
            for each in rest if documents(first) else (first, *rest):
                yield from edits(source, each)
        case ast.For() | ast.AsyncFor() | ast.While() | ast.If() | ast.With() | ast.AsyncWith():
            yield from block(source, node, source.start(node.body[0]))
        case ast.Try() | ast.TryStar() | ast.Match():
            yield from block(source, node, source.start(node))
        case (
            ast.Assign(value=value)
            | ast.AnnAssign(value=ast.expr() as value)
            | ast.AugAssign(value=value)
            | ast.Expr(value=value)
        ):
            yield from value_of(source, value)


def body_of(source: Source, node: FUNCTIONS) -> Iterator[Edit]:
    """The body of a function, after its docstring."""
    body = node.body[1:] if documents(node.body[0]) else node.body
    if body:
        text = " = ".join([*attributes(node), GONE])
        yield from saving(Edit(source.start(body[0]), source.end(node), text))


def attributes(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """What `__init__` binds of the object that it makes, as `self.x`."""
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    found = sorted(
        (each.lineno, each.col_offset, f"{names[0]}.{each.attr}")
        for each in (ast.walk(node) if node.name == "__init__" and names else ())
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == names[0]
    )
    return list(dict.fromkeys(text for _, _, text in found))


def block(source: Source, node: ast.stmt, start: int) -> Iterator[Edit]:
    """What a compound statement does from a place on, but for the names that it binds there.

    One that imports or defines something stays.
    """
    if any(isinstance(each, DEFINES) for each in ast.walk(node)):
        return
    head = source.text(source.start(node), start) + "pass"
    names = bound(source.text(source.start(node), source.end(node))) - bound(head)
    text = " = ".join([*sorted(names), GONE])
    yield from saving(Edit(start, source.end(node), text))


def value_of(source: Source, value: ast.expr) -> Iterator[Edit]:
    """A long value: of a call the function stays, of a lambda what it takes, of a literal its kind."""
    start, end = source.start(value), source.end(value)
    if any(isinstance(each, ast.NamedExpr) for each in ast.walk(value)):
        return
    match value:
        case ast.Call(func=function) if source.end(function) - start < 2 * SHORT:
            yield from saving(Edit(source.end(function), end, f"({GONE})"))
        case ast.Lambda(body=body):
            yield from saving(Edit(source.start(body), source.end(body), GONE))
        case ast.Constant(value=str()):
            yield from saving(Edit(start, end, '"..."'))
        case _:
            kinds = (text for kind, text in LITERALS if isinstance(value, kind))
            yield from saving(Edit(start, end, next(kinds, GONE)))


def saving(edit: Edit) -> Iterator[Edit]:
    """An edit that is worth it."""
    if edit.end - edit.start - len(edit.text.encode()) >= SHORT:
        yield edit


def documents(node: ast.stmt) -> bool:
    """Whether a statement that comes first is a docstring."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def uncommented(code: str) -> str:
    """Code without the lines that hold a comment alone, or nothing between statements."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return code
    gone = {
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }
    gone |= {token.start[0] for token in tokens if token.type == tokenize.NL and not token.line.strip()}
    lines = code.split("\n")
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in gone)


def unrepeated(code: str, briefs: Sequence[str]) -> str:
    """The code without definitions that repeat what folded codes show, which would undo the whole ones."""
    shown = {plain(source, node) for source in map(Source, briefs) for node in definitions(source)}
    source = Source(re.sub(r"\r\n?", "\n", code))
    gone = [node for node in definitions(source) if plain(source, node) in shown]
    if not gone:
        return code
    edits = [Edit(source.start(node), source.end(node), "") for node in gone]
    return source.changed(0, len(source.data), edits).strip("\n")


def definitions(source: Source) -> list[ast.stmt]:
    """The functions and classes of a code in which something is left out."""
    module = tree(source.code)
    return [
        node
        for node in (module.body if module else ())
        if isinstance(node, DEFINITIONS)
        and any(isinstance(each, ast.Constant) and each.value is ... for each in ast.walk(node))
    ]


def plain(source: Source, node: ast.stmt) -> str:
    return uncommented(source.text(source.start(node), source.end(node)))
