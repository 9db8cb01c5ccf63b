"""What pyflakes finds in a whole program: imports that are not used, names that are not defined, ..."""

from collections.abc import Sequence
from functools import lru_cache

from pyflakes.checker import Checker

from mtchat.session.names import parse_module


@lru_cache(maxsize=4096)
def find_faults(source: str, after: int = 0) -> Sequence[str]:
    """The kinds of pyflakes' messages about the lines after a line, such as "UnusedImport", in their order.

    A program that does not parse has none: it fails anyhow.
    """
    module = parse_module(source)
    try:
        messages = Checker(module).messages if module is not None else []
    except RecursionError:
        return ()
    messages = sorted(messages, key=lambda each: (each.lineno, each.col))
    return tuple(type(each).__name__ for each in messages if each.lineno > after)
