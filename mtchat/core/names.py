"""The names that a piece of code binds at its top level."""

import symtable


def bound(code: str) -> frozenset[str]:
    """Names assigned, imported or defined at top level; none where the code does not parse."""
    try:
        table = symtable.symtable(code, "<chunk>", "exec")
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    )


def parses(code: str) -> bool:
    """Whether the code is a Python module."""
    try:
        symtable.symtable(code, "<chunk>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True
