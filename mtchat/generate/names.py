"""The names that a program uses before anything binds them, which a run may not come across."""

from pyflakes.checker import Checker
from pyflakes.messages import UndefinedLocal, UndefinedName

from mtchat.session.names import tree


def undefined(source: str) -> tuple[str, ...]:
    """Names that nothing in a program binds, in the order of their use; none where it does not parse."""
    module = tree(source)
    if module is None:
        return ()
    try:
        found = Checker(module).messages
    except RecursionError:
        return ()
    names = (each.message_args[0] for each in found if isinstance(each, UndefinedName | UndefinedLocal))
    return tuple(dict.fromkeys(names))
