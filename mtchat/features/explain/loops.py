"""How often loops run, and how their rounds grow with their input, as far as the code and the values tell."""

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mtchat.session.names import unparse
from mtchat.session.text import join_words

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
LONGEST_HEAD = 60
LARGEST = 10**9
SAME_LENGTH = ("list", "tuple", "sorted", "reversed", "enumerate", "iter")
VIEWS = ("items", "keys", "values", "copy")


@dataclass(frozen=True)
class LoopNest:
    """Loops inside each other, outermost first: their heads in the code, and how their rounds grow.

    A growth is a power of n, 0 for a fixed number of rounds; None where that is not known.
    """

    heads: tuple[str, ...] = ()
    growths: tuple[float | None, ...] = ()


def growth_facts(name: str, function: FUNCTIONS) -> Iterator[str]:
    """How the work of a function grows, in sentences."""
    calls = own_calls(name, function)
    nest = deepest_nest(function, sized_names(function))
    if len(calls) > 1:
        yield (
            f"`{name}` calls itself in {len(calls)} places ({join_words([f'`{each}`' for each in calls])}); "
            f"without a cache, the number of calls can multiply by up to {len(calls)} with each level"
        )
    elif calls:
        yield f"`{name}` calls itself in one place, `{calls[0]}`"
    if nest.heads:
        yield describe_nest(name, nest) + (" in each call" if calls else "")


def describe_nest(name: str, nest: LoopNest) -> str:
    heads = join_words([f"`{head}`" for head in nest.heads])
    count = len(nest.heads)
    loops = f"one loop, {heads}" if count == 1 else f"loops nested {count} deep, {heads}"
    power = sum(growth or 0 for growth in nest.growths)
    if None in nest.growths:
        return f"`{name}` runs {loops}"
    if not power:
        return f"`{name}` runs {loops}; the number of rounds does not depend on its input: O(1)"
    return f"`{name}` runs {loops}; at most, the number of rounds grows like {describe_power(power)}"


def describe_power(power: float) -> str:
    if power == 1:
        return "n, the size of the input: O(n)"
    if power == 0.5:
        return "the square root of n: O(√n)"
    if power == 2:
        return "n², the square of the size of the input: O(n²)"
    return f"n to the power of {power:g}: O(n^{power:g})"


def own_calls(name: str, function: ast.AST) -> list[str]:
    """The different calls of a function to itself."""
    found = []
    for node in ast.walk(function):
        match node:
            case ast.Call(ast.Name(called)) | ast.Call(ast.Attribute(ast.Name("self" | "cls"), called)):
                if called == name:
                    found.append(unparse(node))
    return list(dict.fromkeys(found))


def sized_names(function: FUNCTIONS) -> frozenset[str]:
    """The names in a function whose size, or whose value where it is a number, its inputs bound."""
    arguments = function.args
    inputs = {each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    given: dict[str, list[ast.expr | None]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value):
                given.setdefault(name, []).append(value)
            case ast.For(ast.Name(name), ast.Call(ast.Name("range")) as value):
                given.setdefault(name, []).append(value)
            case ast.Name(name, ast.Store()):
                given.setdefault(name, [])
    stored = [
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    known = frozenset(inputs)
    for _ in range(len(given)):
        sized = {
            name
            for name in inputs | given.keys()
            if stored.count(name) == len(given.get(name, []))
            and (name in inputs or given.get(name))
            and all(value is not None and is_bounded(value, known) for value in given.get(name, []))
        }
        if sized == known:
            break
        known = frozenset(sized)
    return known


def is_bounded(value: ast.expr, sized: frozenset[str]) -> bool:
    match value:
        case ast.Call(ast.Name("range"), arguments):
            return all(is_bounded(each, sized) for each in arguments)
        case ast.Call(ast.Name("len"), [ast.Subscript(ast.Name(name), ast.Constant())]):
            return name in sized
        case ast.Call(ast.Name("len" | "int"), [first]):
            return is_bounded(first, sized)
        case ast.BinOp(left, ast.Add() | ast.Sub() | ast.FloorDiv(), right):
            return is_bounded(left, sized) and is_bounded(right, sized)
        case ast.Constant(int() | float()):
            return True
    return growth_of(value, sized) is not None


def deepest_nest(node: ast.AST, sized: frozenset[str]) -> LoopNest:
    """The deepest loops inside a node; of equally deep ones those that grow most."""
    best = LoopNest()
    for child in ast.iter_child_nodes(node):
        inner = deepest_nest(child, sized)
        for head, growth in reversed(list(loop_heads(child, sized))):
            inner = LoopNest((head, *inner.heads), (growth, *inner.growths))
        if weight(inner) > weight(best):
            best = inner
    return best


def weight(nest: LoopNest) -> tuple[int, float]:
    return len(nest.heads), sum(growth or 0 for growth in nest.growths)


def loop_heads(node: ast.AST, sized: frozenset[str]) -> Iterator[tuple[str, float | None]]:
    """The loops that a node itself is: one, or as many as a comprehension has."""
    match node:
        case ast.For(target, iterable) | ast.AsyncFor(target, iterable):
            yield loop_head(target, iterable), growth_of(iterable, sized)
        case ast.While(test):
            yield shorten(f"while {unparse(test)}"), None
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for part in node.generators:
                yield loop_head(part.target, part.iter), growth_of(part.iter, sized)


def loop_head(target: ast.expr, iterable: ast.expr) -> str:
    return shorten(f"for {unparse(target)} in {unparse(iterable)}")


def shorten(head: str) -> str:
    return head if len(head) <= LONGEST_HEAD else f"{head[: LONGEST_HEAD - 1]}…"


def growth_of(iterable: ast.expr, sized: frozenset[str]) -> float | None:
    """The power of n that the items of an iterable grow with; None where the code does not say."""
    match iterable:
        case ast.Constant() | ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
            return 0
        case ast.Name(name):
            return 1 if name in sized else None
        case ast.Call(ast.Name("range"), arguments):
            return growth_of_range(arguments, sized)
        case ast.Call(ast.Name(name), [first, *_]) if name in SAME_LENGTH:
            return growth_of(first, sized)
        case ast.Call(ast.Attribute(value, name), []) if name in VIEWS:
            return growth_of(value, sized)
    return None


def growth_of_range(arguments: list[ast.expr], sized: frozenset[str]) -> float | None:
    """The growth of range(...), whose end is an input, its length, or its square root."""
    if any(is_root(each) for each in arguments[:2]):
        inside = {node.id for each in arguments for node in ast.walk(each) if isinstance(node, ast.Name)}
        return 0.5 if inside - {"int", "math", "len"} <= sized else None
    if not all(is_bounded(each, sized) for each in arguments):
        return None
    return 1 if any(isinstance(node, ast.Name) for each in arguments for node in ast.walk(each)) else 0


def is_root(argument: ast.expr) -> bool:
    """Whether an expression is a square root, but for a number that is added to it."""
    match argument:
        case ast.BinOp(left, ast.Add(), ast.Constant()):
            return is_root(left)
        case ast.Call(ast.Name("int"), [inner]):
            return is_root(inner)
        case ast.BinOp(ast.Name(), ast.Pow(), ast.Constant(0.5)):
            return True
        case ast.Call(ast.Attribute(_, "sqrt" | "isqrt") | ast.Name("sqrt" | "isqrt"), [ast.Name()]):
            return True
    return False


def round_facts(loop: ast.For, lengths: Mapping[str, int], texts: Mapping[str, str]) -> Iterator[str]:
    """How often a loop at top level ran, where the values tell.

    `lengths` are those of variables that the loop and the code after it leave alone; `texts` are the strings
    and whole numbers among them.
    """
    count = count_items(loop.iter, lengths, texts)
    if count is not None:
        most = "at most " if leaves_early(loop) else ""
        times = f"{count} time{'s' * (count != 1)}"
        yield f"the loop `{loop_head(loop.target, loop.iter)}` ran {most}{times}"


def leaves_early(loop: ast.For) -> bool:
    return any(isinstance(node, ast.Break | ast.Return) for node in ast.walk(loop))


def count_items(iterable: ast.expr, lengths: Mapping[str, int], texts: Mapping[str, str]) -> int | None:
    """How many items an iterable has; None where that is not known."""
    match iterable:
        case ast.Name(name):
            return lengths.get(name)
        case ast.List(items) | ast.Tuple(items) | ast.Set(items):
            return None if any(isinstance(each, ast.Starred) for each in items) else len(items)
        case ast.Constant(str(value)):
            return len(value)
        case ast.Call(ast.Name("range"), arguments, []):
            numbers = [whole_number(each, lengths, texts) for each in arguments]
            known = [number for number in numbers if number is not None and abs(number) < LARGEST]
            if len(known) != len(numbers) or not 1 <= len(known) <= 3 or (len(known) == 3 and not known[2]):
                return None
            return len(range(*known))
        case ast.Call(ast.Name(name), [first, *_], []) if name in SAME_LENGTH:
            return count_items(first, lengths, texts)
        case ast.Call(ast.Attribute(value, name), [], []) if name in VIEWS:
            return count_items(value, lengths, texts)
        case ast.Call(ast.Attribute(ast.Name(name), "split"), [], []) if name in texts:
            return len(texts[name].split())
    return None


def whole_number(value: ast.expr, lengths: Mapping[str, int], texts: Mapping[str, str]) -> int | None:
    """A whole number that an expression surely is."""
    match value:
        case ast.Constant(int(number)):
            return number
        case ast.UnaryOp(ast.USub(), operand):
            inner = whole_number(operand, lengths, texts)
            return None if inner is None else -inner
        case ast.Call(ast.Name("len"), [operand], []):
            return count_items(operand, lengths, texts)
        case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
            first, second = whole_number(left, lengths, texts), whole_number(right, lengths, texts)
            if first is None or second is None:
                return None
            return first + second if isinstance(sign, ast.Add) else first - second
        case ast.Name(name) if name in texts and texts[name].lstrip("-").isdecimal():
            return int(texts[name][:12])
    return None


def constant_result(function: ast.FunctionDef) -> object:
    """What a function returns for its default arguments if that is plain arithmetic; None if not known.

    Only a function whose first statement, but for a docstring, is its `return` is known so.
    """
    arguments = function.args
    inputs = [*arguments.posonlyargs, *arguments.args]
    if len(arguments.defaults) < len(inputs) or arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        return None
    if function.decorator_list or isinstance(function, ast.AsyncFunctionDef):
        return None
    body = [each for each in function.body if not (isinstance(each, ast.Expr) and is_text(each.value))]
    values: dict[str, object] = {}
    for each, default in zip(inputs, arguments.defaults, strict=True):
        match default:
            case ast.Constant(value):
                values[each.arg] = value
    match body:
        case [ast.Return(ast.expr() as result)]:
            return compute(result, values)
    return None


def is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def compute(value: ast.expr, values: Mapping[str, object]) -> object:
    """The value of plain arithmetic; None where it is anything else or fails."""
    match value:
        case ast.Constant(result):
            return result
        case ast.Name(name):
            return values.get(name)
        case ast.BinOp(left, operator, right):
            first, second = compute(left, values), compute(right, values)
            if isinstance(first, int | float) and isinstance(second, int | float):
                return apply_operator(operator, first, second)
    return None


def apply_operator(operator: ast.operator, first: float, second: float) -> float | None:
    if max(abs(first), abs(second)) > LARGEST:
        return None
    match operator:
        case ast.Add():
            return first + second
        case ast.Sub():
            return first - second
        case ast.Mult():
            return first * second
        case ast.Div() if second:
            return first / second
        case ast.FloorDiv() if second:
            return first // second
        case ast.Mod() if second and math.isfinite(second):
            return first % second
    return None
