"""What a prompt shows of the turns before: in full, folded to signatures and names, or not at all."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from mtchat.session.names import bound_names, parse_module
from mtchat.session.provenance import EVERYTHING, ContextPlan
from mtchat.session.session import Session
from mtchat.session.source import Edit, SourceText
from mtchat.session.turn import FOLDED, FORGOTTEN, KEPT, Turn

LEAST_SAVED = 48  # bytes that a part must save, or it stays
ELLIPSIS = "..."
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


def fold_code(code: str) -> str:
    """The code without bodies, long values and comments; as it is where it does not parse, or is no longer.

    All that it binds at its top level is still bound, and a folded code folds no further.
    """
    source = SourceText(re.sub(r"\r\n?", "\n", code))
    module = parse_module(source.code)
    if module is None or not module.body:
        return code
    text = strip_comments("\n".join(fold_statements(source, module.body)))
    sound = parse_module(text) is not None and bound_names(code) <= bound_names(text)
    return text if sound and len(text) < len(code) else code


def fold_statements(source: SourceText, body: Sequence[ast.stmt]) -> Iterator[str]:
    """Each statement of a module, folded where that keeps its names."""
    for place, node in enumerate(body):
        start, end = source.start(node), source.end(node)
        whole = source.text(start, end)
        if place == 0 and is_docstring(node):
            yield whole
            continue
        brief = source.apply_edits(start, end, list(edits_of(source, node)))
        yield brief if parse_module(brief) is not None and bound_names(whole) <= bound_names(brief) else whole


def edits_of(source: SourceText, node: ast.stmt) -> Iterator[Edit]:
    """What goes of one statement, in the order of the text."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from fold_body(source, node)
        case ast.ClassDef(body=[first, *rest]):
            for each in rest if is_docstring(first) else (first, *rest):
                yield from edits_of(source, each)
        case ast.For() | ast.AsyncFor() | ast.While() | ast.If() | ast.With() | ast.AsyncWith():
            yield from fold_block(source, node, source.start(node.body[0]))
        case ast.Try() | ast.TryStar() | ast.Match():
            yield from fold_block(source, node, source.start(node))
        case (
            ast.Assign(value=value)
            | ast.AnnAssign(value=ast.expr() as value)
            | ast.AugAssign(value=value)
            | ast.Expr(value=value)
        ):
            yield from fold_value(source, value)


def fold_body(source: SourceText, node: FUNCTIONS) -> Iterator[Edit]:
    """The body of a function, after its docstring."""
    body = node.body[1:] if is_docstring(node.body[0]) else node.body
    if body:
        text = " = ".join([*bound_attributes(node), ELLIPSIS])
        yield from keep_if_shorter(Edit(source.start(body[0]), source.end(node), text))


def bound_attributes(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
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


def fold_block(source: SourceText, node: ast.stmt, start: int) -> Iterator[Edit]:
    """What a compound statement does from a place on, but for the names that it binds there.

    One that imports or defines something stays.
    """
    if any(isinstance(each, DEFINES) for each in ast.walk(node)):
        return
    head = source.text(source.start(node), start) + "pass"
    names = bound_names(source.text(source.start(node), source.end(node))) - bound_names(head)
    text = " = ".join([*sorted(names), ELLIPSIS])
    yield from keep_if_shorter(Edit(start, source.end(node), text))


def fold_value(source: SourceText, value: ast.expr) -> Iterator[Edit]:
    """A long value: of a call the function stays, of a lambda what it takes, of a literal its kind."""
    start, end = source.start(value), source.end(value)
    if any(isinstance(each, ast.NamedExpr) for each in ast.walk(value)):
        return
    match value:
        case ast.Call(func=function) if source.end(function) - start < 2 * LEAST_SAVED:
            yield from keep_if_shorter(Edit(source.end(function), end, f"({ELLIPSIS})"))
        case ast.Lambda(body=body):
            yield from keep_if_shorter(Edit(source.start(body), source.end(body), ELLIPSIS))
        case ast.Constant(value=str()):
            yield from keep_if_shorter(Edit(start, end, '"..."'))
        case _:
            kinds = (text for kind, text in LITERALS if isinstance(value, kind))
            yield from keep_if_shorter(Edit(start, end, next(kinds, ELLIPSIS)))


def keep_if_shorter(edit: Edit) -> Iterator[Edit]:
    """An edit that is worth it."""
    if edit.end - edit.start - len(edit.text.encode()) >= LEAST_SAVED:
        yield edit


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement that comes first is a docstring."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def strip_comments(code: str) -> str:
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


def drop_folded_copies(code: str, briefs: Sequence[str]) -> str:
    """The code without definitions that repeat what folded codes show, which would undo the whole ones."""
    shown = {
        normalise(source, node) for source in map(SourceText, briefs) for node in elided_definitions(source)
    }
    source = SourceText(re.sub(r"\r\n?", "\n", code))
    gone = [node for node in elided_definitions(source) if normalise(source, node) in shown]
    if not gone:
        return code
    edits = [Edit(source.start(node), source.end(node), "") for node in gone]
    return source.apply_edits(0, len(source.data), edits).strip("\n")


def elided_definitions(source: SourceText) -> list[ast.stmt]:
    """The functions and classes of a code in which something is left out."""
    module = parse_module(source.code)
    return [
        node
        for node in (module.body if module else ())
        if isinstance(node, DEFINITIONS)
        and any(isinstance(each, ast.Constant) and each.value is ... for each in ast.walk(node))
    ]


def normalise(source: SourceText, node: ast.stmt) -> str:
    return strip_comments(source.text(source.start(node), source.end(node)))


def plan_for(session: Session, path: Sequence[Turn]) -> ContextPlan:
    """What the user wants a model to be told of a path.

    With a forgotten turn go those right before it whose code it has.
    """
    if not any(options.context for options in session.turn_options.values()):
        return EVERYTHING
    folded: list[int] = []
    forgotten: list[int] = []
    open_turns: list[int] = []  # whose code a later turn has
    for number, turn in enumerate(path, start=1):
        context = session.options_of(turn.id).context
        if context == FORGOTTEN:
            forgotten += [number] if is_emptied(turn) else [*open_turns, number]
        elif context == FOLDED:
            folded.append(number)
        open_turns = [*open_turns, number] if is_emptied(turn) and context != FORGOTTEN else []
    return ContextPlan(tuple(folded), tuple(forgotten)).fold(())


def visible_turns(path: Sequence[Turn], memory: ContextPlan) -> tuple[Turn, ...]:
    """The path as a model is told it."""
    return tuple(
        replace(turn, chunk=fold_code(turn.chunk)) if number in memory.folded else turn
        for number, turn in enumerate(path, start=1)
        if number not in memory.forgotten
    )


def folded_codes(path: Sequence[Turn], memory: ContextPlan) -> list[str]:
    """The codes of a path that are told folded, as they are told."""
    return [fold_code(turn.chunk) for number, turn in enumerate(path, start=1) if number in memory.folded]


def is_emptied(turn: Turn) -> bool:
    """Whether a turn has no code on this branch because a later one has the whole program."""
    return turn.status == KEPT and not turn.chunk


def can_fold(turn: Turn) -> bool:
    """Whether folding a turn makes it shorter."""
    return fold_code(turn.chunk) != turn.chunk


def describe_turns(numbers: Sequence[int]) -> str:
    """Numbers of turns, those that follow one another as one: "turn 2", "turns 1-3, 5"."""
    places = groupby(enumerate(numbers), lambda each: each[1] - each[0])
    rows = [[number for _, number in row] for _, row in places]
    text = ", ".join(str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)
    return f"turn{'' if len(numbers) == 1 else 's'} {text}"
