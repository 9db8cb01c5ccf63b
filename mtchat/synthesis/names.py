"""The names that a program uses before anything binds them, which a run may not come across."""

import ast
import warnings

from pyflakes.checker import Checker
from pyflakes.messages import UndefinedLocal, UndefinedName


def undefined(source: str) -> tuple[str, ...]:
    """Names that nothing in a program binds, in the order of their use; none where it does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = Checker(ast.parse(source)).messages
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
    names = (each.message_args[0] for each in found if isinstance(each, UndefinedName | UndefinedLocal))
    return tuple(dict.fromkeys(names))
