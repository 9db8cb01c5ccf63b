"""Runs a program of the multi-turn benchmark, and compares what it prints last with the expected value.

This file runs in the sandbox, as text, so it imports only the standard library. As in the paper's script
(salesforce/CodeGen, codegen1/benchmark), the last expression is printed, and the first argument of the last
print is compared, with casts. A printed value counts even if the program fails later.
"""

import ast
import json
import sys
from typing import Any

NEAR = 1e-6


class Trial:
    """One program, run in `__main__`."""

    def __init__(self) -> None:
        self.shown: tuple[Any, ...] = ()
        self.error = ""

    def show(self, *values: Any, **options: Any) -> None:
        """Replaces print: its first argument counts."""
        self.shown = values[:1] or self.shown

    def run_source(self, source: str) -> None:
        """Run a program to its end or its first error, whose name is kept."""
        space = vars(sys.modules["__main__"])
        space["print"] = self.show
        try:
            exec(compile(print_last_value(source), "<program>", "exec", dont_inherit=True), space)
        except SystemExit as end:
            self.error = "SystemExit" if end.code else ""
        except MemoryError:
            self.error = "memory"
        except BaseException as error:
            self.error = type(error).__name__

    def write_verdict(self, gold: str) -> None:
        """Write the verdict, given the expected value as JSON, on its own line."""
        try:
            passes = bool(self.shown) and matches(self.shown[0], json.loads(gold))
        except Exception:
            passes = False  # the value cannot be cast to the expected type
        stdout = sys.__stdout__ or sys.stdout  # the program may have replaced it
        stdout.write(json.dumps({"matches": passes, "error": self.error}) + "\n")
        stdout.flush()


def print_last_value(source: str) -> ast.Module:
    """The program with its last expression printed, unless that is a call of print."""
    tree = ast.parse(source)
    match tree.body:
        case [*_, ast.Expr(ast.Call(ast.Name("print")))]:
            pass
        case [*_, ast.Expr(value) as last]:
            last.value = ast.Call(ast.Name("print", ast.Load()), [value], [])
    return ast.fix_missing_locations(tree)


def matches(value: Any, gold: Any) -> bool:
    """Whether a value, cast to the expected type, is the expected value; cast errors are raised."""
    if isinstance(gold, bool):
        return str(value) == str(gold)
    if isinstance(gold, list) and hasattr(value, "tolist"):
        value = value.tolist()  # of numpy or pandas
    return is_near(type(gold)(value), gold)


def is_near(value: Any, gold: Any) -> bool:
    """Equal up to rounding; a tuple equals a list."""
    if isinstance(gold, list):
        return bool(len(value) == len(gold) and all(map(is_near, value, gold)))
    if isinstance(gold, float):
        return bool(abs(value - gold) <= NEAR)
    return bool(value == gold)
