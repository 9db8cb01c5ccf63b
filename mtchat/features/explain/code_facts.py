"""What the code says about what a question mentions: who defines it, who uses it, how its work grows."""

import ast
from collections.abc import Iterator, Sequence

from mtchat.features.explain.effects import effect_facts, has_raise, own_nodes, raises
from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.loops import constant_result, growth_facts
from mtchat.features.explain.mentions import FUNCTIONS, Mention, MentionKind, ProgramWords
from mtchat.features.explain.statements import code_parts
from mtchat.session.names import globals_read, list_turn_numbers, symbol_table, unparse
from mtchat.session.text import join_words

LONGEST_CODE = 90
MOST_RETURNS = 4
MOST_STATEMENTS = 2
MOST_PARTS = 3


def facts_from_code(program: ProgramWords, mention: Mention) -> Iterator[Fact]:
    """What the code says about a mention."""
    match mention.kind:
        case MentionKind.NAME | MentionKind.MEMBER:
            yield from name_facts(program, mention.name)
        case MentionKind.CALL:
            yield from call_facts(program, mention.name)
        case MentionKind.LITERAL:
            yield from literal_facts(program, mention.name)
        case MentionKind.TURN:
            yield from turn_facts(program, int(mention.name))


def name_facts(program: ProgramWords, name: str) -> Iterator[Fact]:
    """Who defines a name and who uses it."""
    for turn, node in definitions(program, name)[-1:]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from function_facts(program, turn, node)
            case ast.ClassDef():
                yield from class_facts(program, turn, node)
            case ast.arg():
                yield from input_facts(program, name)
            case ast.Import() | ast.ImportFrom():
                what = f"turn {turn} imports `{imported_name(node, name)}`"
                yield Fact(
                    f"{what}{as_alias(node, name)}; {describe_uses(program, name)}", FactSource.CODE, turn
                )
            case _:
                turns = list(dict.fromkeys(number for number, _ in definitions(program, name)))
                node = first_assignment(program, name, turn) or node
                verb = "sets" if len(turns) == 1 else "set"
                what = f"{list_turn_numbers(turns)} {verb} `{name}`"
                code = f" (in turn {turn}: `{one_line(node)}`)" if len(turns) > 1 else f": `{one_line(node)}`"
                yield Fact(f"{what}{code}; {describe_uses(program, name)}", FactSource.CODE, turn)


def first_assignment(program: ProgramWords, name: str, turn: int) -> ast.AST | None:
    """The first statement of a turn that gives a name a whole new value."""
    there = (node for number, node in definitions(program, name) if number == turn)
    return next((node for node in there if isinstance(node, ast.Assign | ast.AnnAssign)), None)


def definitions(program: ProgramWords, name: str) -> list[tuple[int, ast.AST]]:
    """The statements that define a name, in order: at top level if there are any, otherwise anywhere."""
    found: list[tuple[int, ast.AST]] = []
    inner: list[tuple[int, ast.AST]] = []
    for turn, module in program.modules.items():
        found += [(turn, node) for node in statements(module.body) if name in bound_by(node)]
    for turn, node in program.nodes:
        match node:
            case ast.FunctionDef(defined) | ast.AsyncFunctionDef(defined) | ast.ClassDef(defined):
                inner += [(turn, node)] if defined == name else []
            case ast.arg(defined):
                inner += [(turn, node)] if defined == name else []
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(each, ast.Attribute) and each.attr == name for each in targets):
                    inner.append((turn, node))
    return found or inner


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements and those in their blocks, but not in functions and classes."""
    for node in body:
        yield node
        if isinstance(node, FUNCTIONS | ast.ClassDef):
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def bound_by(node: ast.stmt) -> frozenset[str]:
    """The names that a statement itself binds, without its blocks."""
    match node:
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            return frozenset({name})
        case ast.Import(names) | ast.ImportFrom(_, names):
            return frozenset(each.asname or each.name.partition(".")[0] for each in names)
        case ast.Assign(targets):
            parts: list[ast.expr] = targets
        case ast.AnnAssign(target) | ast.AugAssign(target) | ast.For(target) | ast.AsyncFor(target):
            parts = [target]
        case ast.With(items) | ast.AsyncWith(items):
            parts = [each.optional_vars for each in items if each.optional_vars is not None]
        case _:
            parts = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.NamedExpr)]
    inside = (each for part in parts for each in ast.walk(part) if isinstance(each, ast.Name))
    return frozenset(each.id for each in inside if isinstance(each.ctx, ast.Store))


def function_facts(program: ProgramWords, turn: int, node: FUNCTIONS) -> Iterator[Fact]:
    """Who defines and calls a function, what it returns and raises, and how its work grows."""
    owner = owner_of(program, node)
    kind = f"method `{owner}.{node.name}`" if owner else f"function `{node.name}`"
    inputs = unparse(node.args)
    takes = f"with the inputs `{inputs}`" if inputs else "without inputs"
    yield Fact(
        f"turn {turn} defines the {kind} {takes}; {describe_calls(program, node.name)}", FactSource.CODE, turn
    )
    yield Fact(describe_results(node), FactSource.CODE, turn)
    if isinstance(node, ast.FunctionDef) and (result := constant_result(node)) is not None:
        given = "with its default inputs" if node.args.args or node.args.posonlyargs else "always"
        yield Fact(f"`{node.name}()` returns `{result!r}` {given}", FactSource.CODE, turn)
    yield from raise_facts(turn, node)
    if not has_raise(node) and any(isinstance(each, ast.Raise) for _, each in program.nodes):
        yield Fact(f"`{node.name}` itself raises no error", FactSource.CODE, turn)
    yield from (Fact(text, FactSource.CODE, turn) for text in effect_facts(node.name, node))
    for text in growth_facts(node.name, node):
        yield Fact(text, FactSource.CODE, turn)


def raise_facts(turn: int, node: FUNCTIONS) -> Iterator[Fact]:
    for raised, condition in raises(node):
        what = f"`{node.name}` raises `{shorten(raised)}` if `{shorten(condition)}`"
        yield Fact(what, FactSource.CODE, turn)


def owner_of(program: ProgramWords, node: ast.AST) -> str:
    """The class that a function is a method of; "" if it is none."""
    for _, each in program.nodes:
        if isinstance(each, ast.ClassDef) and node in each.body:
            return each.name
    return ""


def describe_calls(program: ProgramWords, name: str) -> str:
    """Which turns call a function, by its name or as a method; which use it otherwise if none calls it."""
    inside = {
        id(each)
        for _, node in program.nodes
        if isinstance(node, FUNCTIONS) and node.name == name
        for each in ast.walk(node)
    }
    turns: dict[int, None] = {}
    used = False
    for turn, node in program.nodes:
        match node:
            case ast.Call(ast.Name(called) | ast.Attribute(_, called)):
                if called == name and id(node) not in inside:
                    turns[turn] = None
            case ast.Name(read, ast.Load()) if read == name and id(node) not in inside:
                used = True
    if turns:
        return f"{list_turn_numbers(list(turns))} {'calls' if len(turns) == 1 else 'call'} it"
    if name.startswith("__"):
        return "Python itself calls it"
    return describe_uses(program, name) if used else "nothing else uses it"


def describe_uses(program: ProgramWords, name: str) -> str:
    """Which turns read a name of the program, in functions too unless they have their own of that name."""
    turns = []
    for turn in program.modules:
        table = symbol_table(program.session.turn_at(turn).chunk)
        if table is not None and any(read == name for read, _ in globals_read(table)):
            turns.append(turn)
    if not turns:
        return "nothing uses it"
    return f"{list_turn_numbers(turns)} {'uses' if len(turns) == 1 else 'use'} it"


def describe_results(node: FUNCTIONS) -> str:
    """What the `return` statements of a function give."""
    inside = list(own_nodes(node))
    if any(isinstance(each, ast.Yield | ast.YieldFrom) for each in inside):
        return f"`{node.name}` is a generator: it gives its values one at a time"
    given = [each for each in inside if isinstance(each, ast.Return) and each.value is not None]
    if not given:
        return f"`{node.name}` has no `return` with a value, so it returns None"
    texts = list(dict.fromkeys(f"`{one_line(each.value)}`" for each in given if each.value is not None))
    shown = join_words(texts[:MOST_RETURNS]) + (" and more" if len(texts) > MOST_RETURNS else "")
    noun = "its only `return` gives" if len(given) == 1 else "its `return` statements give"
    return f"`{node.name}`: {noun} {shown}"


def class_facts(program: ProgramWords, turn: int, node: ast.ClassDef) -> Iterator[Fact]:
    methods = [f"`{each.name}`" for each in node.body if isinstance(each, FUNCTIONS)]
    has = f" with the methods {join_words(methods)}" if methods else ""
    uses = describe_uses(program, node.name)
    yield Fact(f"turn {turn} defines the class `{node.name}`{has}; {uses}", FactSource.CODE, turn)


def input_facts(program: ProgramWords, name: str) -> Iterator[Fact]:
    """Which functions take an input of that name."""
    takers: dict[str, int] = {}
    for turn, node in program.nodes:
        if isinstance(node, FUNCTIONS):
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if any(each.arg == name for each in arguments):
                takers[f"`{node.name}`"] = turn
    if takers:
        turn = max(takers.values())
        yield Fact(f"`{name}` is an input of {join_words(list(takers))}", FactSource.CODE, turn)


def imported_name(node: ast.Import | ast.ImportFrom, name: str) -> str:
    """The full name of what is imported as `name`."""
    for each in node.names:
        if name in (each.asname, each.name.partition(".")[0]):
            return f"{node.module}.{each.name}" if isinstance(node, ast.ImportFrom) else each.name
    return name


def as_alias(node: ast.Import | ast.ImportFrom, name: str) -> str:
    return f" as `{name}`" if any(each.asname == name for each in node.names) else ""


def call_facts(program: ProgramWords, called: str) -> Iterator[Fact]:
    """Where something that the program did not define is called."""
    places = [
        (turn, node)
        for turn, module in program.modules.items()
        for node in statements(module.body)
        if calls(node, called)
    ]
    for turn, node in places[:MOST_STATEMENTS]:
        yield Fact(f"turn {turn} calls `{called}`: `{one_line(node)}`", FactSource.CODE, turn)


def calls(node: ast.stmt, called: str) -> bool:
    """Whether a statement, but for its blocks, calls something; of a definition its whole body counts."""
    whole = isinstance(node, FUNCTIONS | ast.ClassDef)
    parts = (
        [node] if whole else [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.stmt)]
    )
    return any(
        isinstance(each, ast.Call) and unparse(each.func) == called
        for part in parts
        for each in ast.walk(part)
    )


def literal_facts(program: ProgramWords, literal: str) -> Iterator[Fact]:
    """The statements that a text is in, and on what they depend."""
    shown = 0
    for turn, module in program.modules.items():
        for node, conditions in guarded(module.body):
            if shown == MOST_STATEMENTS or not contains(node, literal):
                continue
            shown += 1
            under = f"; it runs only if {join_words(conditions)}" if conditions else ""
            yield Fact(f"`{literal}` is in turn {turn}: `{one_line(node)}`{under}", FactSource.CODE, turn)


def contains(node: ast.stmt, literal: str) -> bool:
    """Whether a statement, but for its blocks, contains a text or a number, which is given as a text."""
    parts = [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.stmt)]
    return any(
        isinstance(each, ast.Constant) and not isinstance(each.value, bytes) and str(each.value) == literal
        for part in parts
        for each in ast.walk(part)
    )


def guarded(
    body: Sequence[ast.stmt], known: tuple[str, ...] = ()
) -> Iterator[tuple[ast.stmt, tuple[str, ...]]]:
    """Statements with the conditions of the `if` statements around them, in order."""
    for node in body:
        yield node, known
        if isinstance(node, ast.If):
            test = one_line(node.test)
            yield from guarded(node.body, (*known, f"`{test}` is true"))
            yield from guarded(node.orelse, (*known, f"`{test}` is false"))
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from guarded(getattr(node, block, []), known)


def turn_facts(program: ProgramWords, turn: int) -> Iterator[Fact]:
    """What a turn was asked for, and what its statements do."""
    made = program.session.turn_at(turn)
    yield Fact(f"turn {turn} was asked to: {shorten(made.instruction_as_typed)}", FactSource.CODE, turn)
    parts = code_parts(made.chunk, program.session.program.source)
    if parts and all(part.sure and "indented" not in part.words for part in parts[:MOST_PARTS]):
        does = "; ".join(part.words for part in parts[:MOST_PARTS]) + (
            "; …" if len(parts) > MOST_PARTS else ""
        )
        yield Fact(f"turn {turn}: {does}", FactSource.CODE, turn)


def one_line(node: ast.AST) -> str:
    """The first line of some code, shortened."""
    return shorten(unparse(node).split("\n")[0])


def shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_CODE else f"{text[: LONGEST_CODE - 1]}…"
