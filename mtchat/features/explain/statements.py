"""What each line of code does, in plain English derived from its syntax tree, so that it is always true."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mtchat.features.explain.phrases import NoPlainWords, Phrases, no_words, try_phrase
from mtchat.session.names import parse_module, unparse
from mtchat.session.text import join_words

CHANGES: Mapping[type[ast.operator], str] = {
    ast.Add: "adds {value} to {name}",
    ast.Sub: "subtracts {value} from {name}",
    ast.Mult: "multiplies {name} by {value}",
    ast.Div: "divides {name} by {value}",
}
# Methods that change their object, by name and number of arguments.
DEEDS: Mapping[tuple[str, int], str] = {
    ("append", 1): "adds {1} to the end of {0}",
    ("extend", 1): "adds the items of {1} to the end of {0}",
    ("insert", 2): "inserts {2} into {0} at position {1}, counting from 0",
    ("sort", 0): "sorts {0}",
    ("reverse", 0): "reverses the order of {0}",
    ("clear", 0): "empties {0}",
    ("close", 0): "closes {0}",
}
WORDS = {
    ast.Pass: "does nothing; a placeholder for code to come",
    ast.Break: "leaves the loop immediately",
    ast.Continue: "skips to the next round of the loop",
}
ALWAYS = "in any case, runs the indented lines below at the end"


def else_words(node: ast.stmt) -> str:
    """What the else clause of a statement means."""
    if isinstance(node, ast.For | ast.AsyncFor | ast.While):
        return "if nothing left the loop early, runs the indented lines below"
    if isinstance(node, ast.Try):
        return "if no error occurred there, runs the indented lines below"
    return "otherwise, runs the indented lines below"


@dataclass(frozen=True)
class CodePart:
    """Lines of code that belong together, counted from 1: a statement, or the head of a compound one.

    `words` describe it completely if `sure`; otherwise they only say what kind of statement it is.
    `names` are the names that it assigns.
    """

    first: int
    last: int
    words: str
    sure: bool
    names: tuple[str, ...] = ()


def code_parts(code: str, program: str = "") -> tuple[CodePart, ...]:
    """The parts of some code in order; none if it is not Python. `program` is the whole program."""
    module = parse_module(code)
    if module is None:
        return ()
    try:
        return tuple(merge_parts(list(walk_parts(module.body, phrases_of(program or code)))))
    except RecursionError:
        return ()


def merge_parts(found: Sequence[CodePart]) -> Iterator[CodePart]:
    """Parts in the order of their lines; parts that share a line become one."""
    pending: CodePart | None = None
    for part in sorted(found, key=lambda part: part.first):
        if pending is not None and part.first <= pending.last:
            words = f"{pending.words.rstrip(':')}: {part.words}"
            last = max(pending.last, part.last)
            names = (*pending.names, *part.names)
            pending = CodePart(pending.first, last, words, pending.sure and part.sure, names)
            continue
        if pending is not None:
            yield pending
        pending = part
    if pending is not None:
        yield pending


def phrases_of(program: str) -> Phrases:
    """Phrases for a program, with the names of its functions unless they are reassigned."""
    module = parse_module(program)
    stored = [
        node.id
        for node in (ast.walk(module) if module else ())
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    defined = [node.name for node in (module.body if module else ()) if isinstance(node, ast.FunctionDef)]
    return Phrases(bound_names(program), frozenset(defined) - frozenset(stored))


def bound_names(program: str) -> frozenset[str]:
    """Every name that a program binds anywhere, functions and parameters included."""
    module = parse_module(program)
    found: set[str] = set()
    for node in ast.walk(module) if module else ():
        match node:
            case ast.Name(name, ast.Store()) | ast.arg(name) | ast.alias(_, str(name)):
                found.add(name)
            case ast.alias(name, None):
                found.add(name.partition(".")[0])
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                found.add(name)
    return frozenset(found)


def walk_parts(body: Sequence[ast.stmt], phrases: Phrases, alternative: bool = False) -> Iterator[CodePart]:
    """The parts of some statements and of the blocks in them."""
    for node in body:
        blocks = dict(blocks_of(node))
        below = blocks.get("body", [])
        starts = [node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]
        last = max(below[0].lineno - 1, node.lineno) if below else node.end_lineno or node.lineno
        yield part_of(node, min(starts), last, phrases, alternative)
        yield from walk_parts(below, phrases)
        for handler in getattr(node, "handlers", []):
            yield describe_handler(handler)
            yield from walk_parts(handler.body, phrases)
        yield from alternatives(node, blocks, phrases)


def alternatives(
    node: ast.stmt, blocks: Mapping[str, list[ast.stmt]], phrases: Phrases
) -> Iterator[CodePart]:
    """The parts of else and finally clauses; an elif is treated as an if."""
    before: Sequence[ast.stmt | ast.excepthandler] = getattr(node, "handlers", None) or blocks.get("body", [])
    if other := blocks.get("orelse"):
        if is_elif(node, other):
            yield from walk_parts(other, phrases, True)
        else:
            yield clause_part(before, other, else_words(node))
            yield from walk_parts(other, phrases)
        before = other
    if final := blocks.get("finalbody"):
        yield clause_part(before, final, ALWAYS)
        yield from walk_parts(final, phrases)


def clause_part(
    before: Sequence[ast.stmt | ast.excepthandler], body: Sequence[ast.stmt], words: str
) -> CodePart:
    """The line of an else or finally: between the end of one block and the start of the next."""
    first = (before[-1].end_lineno or before[-1].lineno) + 1
    return CodePart(first, max(first, body[0].lineno - 1), words, True)


def is_elif(node: ast.stmt, other: Sequence[ast.stmt]) -> bool:
    one = isinstance(node, ast.If) and len(other) == 1 and isinstance(other[0], ast.If)
    return one and other[0].col_offset == node.col_offset


def blocks_of(node: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, [])
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield name, block


def part_of(node: ast.stmt, first: int, last: int, phrases: Phrases, alternative: bool) -> CodePart:
    words = try_phrase(lambda: describe(node, phrases))
    sure = words is not None
    words = words or describe_kind(node)
    if alternative:
        words = f"otherwise, {words}"
    return CodePart(first, last, words, sure, assigned_names(node))


def describe(node: ast.stmt, phrases: Phrases) -> str:
    """A statement, or the head of one, in words; raises NoPlainWords if there are none."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return describe_import(node)
        case ast.Assign([target], value):
            return describe_assignment(target, value, phrases)
        case ast.AnnAssign(target, _, ast.expr() as value):
            return describe_assignment(target, value, phrases)
        case ast.AugAssign(target, operator, value) if type(operator) in CHANGES:
            return CHANGES[type(operator)].format(name=phrases.name(target), value=phrases.part(value))
        case ast.Expr(ast.Constant(str())):
            return "a note for readers, which Python ignores"
        case ast.Expr(ast.Yield(ast.expr() as value)):
            return f"produces {phrases.say(value)} and pauses here until the next value is needed"
        case ast.Expr(ast.Call(function, arguments, keywords)):
            return describe_call(function, arguments, keywords, phrases)
        case ast.If(test):
            return f"runs the indented lines below only if {phrases.condition(test)}"
        case ast.While(ast.Constant(True)):
            return "repeats the indented lines below until something in them leaves the loop"
        case ast.While(test):
            return f"repeats the indented lines below as long as {phrases.condition(test)}"
        case ast.For(target, iterable):
            return describe_loop(target, iterable, phrases)
        case ast.FunctionDef():
            return describe_function(node)
        case ast.ClassDef(name):
            meaning = "a new kind of object; the indented lines say what it has and can do"
            return f"defines the class `{name}`, {meaning}"
        case ast.Return(None):
            return "ends the function"
        case ast.Return(ast.expr() as value):
            return f"ends the function and returns {phrases.say(value)}"
        case ast.Try():
            return "tries the indented lines below; an error in them does not stop the program at once"
    return WORDS[type(node)] if type(node) in WORDS else no_words()


def describe_import(node: ast.Import | ast.ImportFrom) -> str:
    names = [
        f"`{each.name}`" + (f" (called `{each.asname}` here)" if each.asname else "") for each in node.names
    ]
    if isinstance(node, ast.Import):
        return f"makes the module {join_words(names)} available"
    if names == ["`*`"]:
        return f"makes everything in the module `{node.module}` available"
    return (
        f"makes {join_words(names)} from the module `{node.module}` available" if node.module else no_words()
    )


def describe_assignment(target: ast.expr, value: ast.expr, phrases: Phrases) -> str:
    match target:
        case ast.Subscript(ast.Name() as whole, index):
            return f"sets {phrases.entry(whole, index)} to {phrases.say(value)}"
        case ast.Tuple(names) if isinstance(value, ast.Tuple) and len(names) == len(value.elts):
            pairs = zip(names, value.elts, strict=True)
            assignments = [f"{phrases.name(one)} to {phrases.say(other)}" for one, other in pairs]
            return f"sets {join_words(assignments)}, all at once"
    if isinstance(target, ast.Tuple) and not isinstance(value, ast.Name | ast.Call):
        return no_words()
    return f"sets {phrases.name(target)} to {phrases.say(value)}"


def describe_call(
    function: ast.expr, arguments: list[ast.expr], keywords: list[ast.keyword], phrases: Phrases
) -> str:
    match function:
        case ast.Name("print") if "print" not in phrases.taken and not keywords:
            if not arguments:
                return "shows an empty line"
            return f"shows {join_words([phrases.part(each) for each in arguments])}"
        case ast.Name(name) if name in phrases.functions and not keywords:
            return f"calls the function `{name}`{phrases.given(arguments)}"
        case ast.Attribute(ast.Name() as owner, name) if name not in phrases.taken and not keywords:
            words = DEEDS.get((name, len(arguments)))
            return words.format(*map(phrases.part, [owner, *arguments])) if words else no_words()
    return no_words()


def describe_loop(target: ast.expr, iterable: ast.expr, phrases: Phrases) -> str:
    name = phrases.name(target)
    return f"runs the indented lines below once for each of {phrases.part(iterable)}, calling it {name}"


def describe_function(node: ast.FunctionDef) -> str:
    arguments = node.args
    if arguments.vararg or arguments.kwarg:
        raise NoPlainWords
    given = [each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    given = [each for each in given if each != "self"]
    what = f"takes {join_words([f'`{each}`' for each in given])}" if given else "takes no input"
    return f"defines the function `{node.name}`, which {what}; the indented lines run when it is called"


def describe_handler(handler: ast.ExceptHandler) -> CodePart:
    """The line of an except clause, which says which errors it handles."""
    what = "any error" if handler.type is None else "one of these errors"
    if isinstance(handler.type, ast.Name):
        what = f"the error {handler.type.id}"
    words = f"if {what} occurs there, runs the indented lines below"
    return CodePart(handler.lineno, max(handler.body[0].lineno - 1, handler.lineno), words, True)


def describe_kind(node: ast.stmt) -> str:
    """What kind of statement it is, for code that has no complete description."""
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() if assigned_names(node):
            names = join_words([f"`{each}`" for each in assigned_names(node)])
            return f"sets {names} to a value that the code computes"
        case ast.Assign([ast.Subscript() | ast.Attribute() as target]) | ast.AugAssign(target):
            return f"sets `{unparse(target)}` to a value that the code computes"
        case ast.If() | ast.While():
            word = "repeats" if isinstance(node, ast.While) else "runs"
            again = "as long as" if isinstance(node, ast.While) else "only if"
            return f"{word} the indented lines below {again} `{unparse(node.test)}` is true"
        case ast.For():
            return f"repeats the indented lines below for `{unparse(node.target)}`"
        case ast.Expr(ast.Call(function)):
            what = "shows something on the screen" if is_print(function) else "calls"
            return what if is_print(function) else f"{what} `{unparse(function)}`"
        case ast.Return():
            return "ends the function and returns a value that the code computes"
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            return f"defines the function `{name}`; the indented lines run when it is called"
        case ast.With():
            return "runs the indented lines below with something that is closed afterwards"
        case ast.Raise():
            return "raises an error"
        case ast.Assert():
            return "stops the program with an error unless this is true"
    return "a step best described by its code"


def is_print(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id == "print"


def assigned_names(node: ast.stmt) -> tuple[str, ...]:
    """The names that a statement itself assigns, without the blocks in it."""
    match node:
        case ast.Assign(targets):
            given: list[ast.expr] = targets
        case ast.AnnAssign(target) | ast.AugAssign(target) | ast.For(target):
            given = [target]
        case _:
            return ()
    names = [each for target in given for each in ast.walk(target) if isinstance(each, ast.Name)]
    return tuple(dict.fromkeys(each.id for each in names if isinstance(each.ctx, ast.Store)))
