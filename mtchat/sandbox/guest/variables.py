"""Describes the variables of the program for the host, four fields each: name, type, shape, short value.

What a value says of itself may be wrong, endless or an error; what is left here is bounded.
"""

import reprlib
from types import BuiltinFunctionType, FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST, VALUE_CHARS, KIND_CHARS = 300, 160, 60
LONGEST_INT_BITS = 1000


def fields(namespace: "dict[str, Any]") -> list[str]:
    """The variables in the order in which they were first bound."""
    found: list[str] = []
    for name, value in list(namespace.items()):
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        found += [name[:KIND_CHARS], kind(value), attempt(shape, value, ""), attempt(short, value)]
        if len(found) >= 4 * MOST:
            break
    return found


def attempt(describe: "Any", value: "Any", otherwise: str | None = None) -> str:
    """What is said of a value; where asking is an error, as of a closed file, something else or that."""
    try:
        return str(describe(value))
    except Exception as error:
        return f"<{type(error).__name__} when asked>" if otherwise is None else otherwise


def kind(value: "Any") -> str:
    return type(value).__qualname__[:KIND_CHARS]


def shape(value: "Any") -> str:
    """Rows and columns of an array or a table, else the length; "" where there is neither."""
    if isinstance(value, type):
        return ""
    dimensions = getattr(value, "shape", None)
    if isinstance(dimensions, tuple):
        return " x ".join(str(each) for each in dimensions[:6]) or "scalar"
    return str(len(value)) if hasattr(type(value), "__len__") else ""


def short(value: "Any") -> str:
    """One line of at most VALUE_CHARS characters."""
    text = " ".join(shortened(value)[: 4 * VALUE_CHARS].split())
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"


def shortened(value: "Any") -> str:
    if isinstance(value, FunctionType):
        names = value.__code__.co_varnames[: value.__code__.co_argcount + value.__code__.co_kwonlyargcount]
        return f"{value.__name__}({', '.join(names)})"
    if isinstance(value, (type, BuiltinFunctionType)):
        return value.__qualname__
    if isinstance(value, int) and value.bit_length() > LONGEST_INT_BITS:
        return f"a number of {value.bit_length()} bits"
    if callable(getattr(type(value), "ravel", None)) and hasattr(value, "dtype"):
        return of_array(value)
    return SHORT.repr(value)


def of_array(array: "Any") -> str:
    """The first and the last elements, and their type."""
    flat = array.ravel()
    few = [str(flat[at]) for at in range(min(4, len(flat)))]
    more = [f"… {flat[-1]}"] if len(flat) > 4 else []
    return f"{', '.join(few + more)} ({array.dtype})"


SHORT = reprlib.Repr()
SHORT.maxlist = SHORT.maxtuple = SHORT.maxset = SHORT.maxfrozenset = SHORT.maxdeque = SHORT.maxarray = 8
SHORT.maxdict, SHORT.maxlevel = 6, 3
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = VALUE_CHARS
