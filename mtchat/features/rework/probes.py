"""Calls of functions with simple values, to see whether two versions of a function give the same.

Where the program shows what kinds of values a function is given, by its calls or its annotations, it is tried
with values of these kinds alone: what it does with others is nobody's concern.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence

from mtchat.generate.checks import Check
from mtchat.session.names import tree
from mtchat.session.outcome import Variable

VALUES: Mapping[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "-3", "10", "7", "100"),
    "float": ("0.0", "2.5", "-1.5", "3.0"),
    "str": ("''", "'abc'", "'Level'", "'a b a'", "'7'"),
    "list": ("[]", "[3, 1, 2]", "[1, 1]", "['b', 'a', 'b']"),
    "dict": ("{}", "{'a': 1, 'b': 2}"),
    "bool": ("True", "False"),
}
STEPS = (1, 2, 5)  # how fast the values of the first, second and third argument change
MOST_PARAMETERS = len(STEPS)
MOST_CALLS = 14

Function = ast.FunctionDef


def probing(chunk: str, program: str, variables: Sequence[Variable]) -> tuple[Check, ...]:
    """Calls of each function that a chunk defines; what they should give is not known."""
    module, whole = tree(chunk), tree(program)
    known = {each.name: each.kind for each in variables}
    found: list[Check] = []
    for node in module.body if module else ():
        if isinstance(node, Function) and simple(node):
            found += (
                Check(f"{node.name}({', '.join(given)})", "None") for given in arguments(node, whole, known)
            )
    return tuple(found)


def simple(node: Function) -> bool:
    """Whether a function can be called with a few values in their order."""
    return not (node.args.vararg or node.args.kwonlyargs) and len(needed(node)) <= MOST_PARAMETERS


def needed(node: Function) -> list[ast.arg]:
    """The parameters that have no value of their own."""
    every = [*node.args.posonlyargs, *node.args.args]
    return every[: len(every) - len(node.args.defaults)]


def arguments(node: Function, program: ast.Module | None, known: Mapping[str, str]) -> Iterator[list[str]]:
    """The values of each call."""
    choices = []
    for place, parameter in enumerate(needed(node)):
        kinds = annotated(parameter) or shown(node.name, place, program, known) or VALUES.keys()
        choices.append([value for kind in VALUES if kind in kinds for value in VALUES[kind]])
    most = min(MOST_CALLS, max((len(values) for values in choices), default=1) * max(len(choices), 1))
    for turn in range(most):
        yield [
            values[(turn * step + place) % len(values)]
            for place, (values, step) in enumerate(zip(choices, STEPS, strict=False))
        ]


def annotated(parameter: ast.arg) -> set[str]:
    """The kind that a parameter says it is of."""
    note = parameter.annotation
    name = note.value if isinstance(note, ast.Subscript) else note
    return {name.id} & VALUES.keys() if isinstance(name, ast.Name) else set()


def shown(name: str, place: int, program: ast.Module | None, known: Mapping[str, str]) -> set[str]:
    """The kinds of the values that the program's own calls give at this place."""
    found = set()
    for node in ast.walk(program) if program else ():
        match node:
            case ast.Call(ast.Name(called), given) if called == name and place < len(given):
                found.add(kind(given[place], known))
    return found & VALUES.keys()


def kind(value: ast.expr, known: Mapping[str, str]) -> str:
    match value:
        case ast.Name(name):
            return known.get(name, "")
        case ast.List():
            return "list"
        case ast.Dict():
            return "dict"
        case ast.UnaryOp(ast.USub(), operand):
            return kind(operand, known)
        case ast.Constant(constant):
            return type(constant).__name__
        case ast.JoinedStr():
            return "str"
    return ""
