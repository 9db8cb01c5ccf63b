"""Code as Python reads it: its tree, and the names that it binds at its top level."""

import ast
import symtable
import warnings


def bound(code: str) -> frozenset[str]:
    """Names assigned, imported or defined at top level; none where the code does not parse."""
    table = symbols(code)
    return frozenset(
        symbol.get_name()
        for symbol in (table.get_symbols() if table else ())
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    )


def tree(code: str) -> ast.Module | None:
    """The code as a module; None where it is not Python, or is nested too deeply to be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an escape such as "\\d", which is for the run to tell
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parses(code: str) -> bool:
    """Whether the code is a Python module."""
    return symbols(code) is not None


def compiles(code: str) -> bool:
    """Whether Python takes the code as one file; unlike `parses`, it finds a `from __future__` too late."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, "<chunk>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def symbols(code: str) -> symtable.SymbolTable | None:
    """The compiler's table of a module; None where it does not parse, or is nested too deeply to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in a string: the run says so, where it says anything
        try:
            return symtable.symtable(code, "<chunk>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
