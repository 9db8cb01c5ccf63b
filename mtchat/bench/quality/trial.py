"""A program of the multi-turn benchmark on trial: what it shows last, held against the wanted value.

This file is run in the sandbox, as text, so it imports nothing but Python's own. What counts is as in the
paper's script (salesforce/CodeGen, codegen1/benchmark): the last expression is printed, and the first
argument of the last print is compared, with casts. What was shown counts though the program fails later.
"""

import ast
import json
import sys
from typing import Any

NEAR = 1e-6


class Trial:
    """One program, run where the code that made this runs: in `__main__`."""

    def __init__(self) -> None:
        self.shown: tuple[Any, ...] = ()
        self.error = ""

    def show(self, *values: Any, **options: Any) -> None:
        """In place of print: its first argument counts."""
        self.shown = values[:1] or self.shown

    def play(self, source: str) -> None:
        """Run a program to its end, or to the first error, which is kept by its name."""
        space = vars(sys.modules["__main__"])
        space["print"] = self.show
        try:
            exec(compile(showing(source), "<program>", "exec", dont_inherit=True), space)
        except SystemExit as end:
            self.error = "SystemExit" if end.code else ""
        except MemoryError:
            self.error = "memory"
        except BaseException as error:
            self.error = type(error).__name__

    def tell(self, gold: str) -> None:
        """Write the verdict, given the wanted value as JSON, on a line of its own."""
        try:
            passes = bool(self.shown) and matches(self.shown[0], json.loads(gold))
        except Exception:
            passes = False  # a value that the wanted type cannot be made of
        stdout = sys.__stdout__ or sys.stdout  # the program may have put something else in its place
        stdout.write(json.dumps({"matches": passes, "error": self.error}) + "\n")
        stdout.flush()


def showing(source: str) -> ast.Module:
    """The program with its last expression printed, unless that is a call of print itself."""
    tree = ast.parse(source)
    match tree.body:
        case [*_, ast.Expr(ast.Call(ast.Name("print")))]:
            pass
        case [*_, ast.Expr(value) as last]:
            last.value = ast.Call(ast.Name("print", ast.Load()), [value], [])
    return ast.fix_missing_locations(tree)


def matches(value: Any, gold: Any) -> bool:
    """Whether a value is the wanted one once it has its type; errors are those of the cast."""
    if isinstance(gold, bool):
        return str(value) == str(gold)
    if isinstance(gold, list) and hasattr(value, "tolist"):
        value = value.tolist()  # of numpy or pandas
    return near(type(gold)(value), gold)


def near(value: Any, gold: Any) -> bool:
    """Equal but for rounding; a tuple equals a list."""
    if isinstance(gold, list):
        return bool(len(value) == len(gold) and all(map(near, value, gold)))
    if isinstance(gold, float):
        return bool(abs(value - gold) <= NEAR)
    return bool(value == gold)
