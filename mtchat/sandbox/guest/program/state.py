"""Describes what a program has at its end, in a line for each name, without running code of the program.

Only values of known types are looked into: those of Python, NumPy and pandas, and the attributes of objects
of the program's own classes, past their `__getattribute__`. So describing changes nothing, prints nothing and
does not take long, whatever the program has defined.
"""

import time
from types import FunctionType, GetSetDescriptorType, ModuleType

TYPE_CHECKING = False  # as in typing, which would cost 12 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


MOST_NAMES, LINE_CHARS, TEXT_CHARS, NAME_CHARS = 60, 200, 60, 60
MOST_ITEMS, MOST_COLUMNS, MOST_METHODS, MOST_PARAMETERS = 6, 10, 8, 8
SAMPLED = 20  # items that the type of the items is told by
DEPTH = 2  # of values in values
SECONDS = 0.02  # after which no further name is described
LONGEST_INT_BITS, FLOAT_CHARS = 200, 8
PLAIN = (bool, complex, type(None), type(...), range, slice)
ARRAY_ITEMS = 12  # of an array that is shown as a whole
MORE = "..."


def describe_state(namespace: "dict[str, Any]") -> list[str]:
    """A line for each variable, function and class of a program, such as "total: int 42"; the newest last."""
    found: list[str] = []
    ends = time.monotonic() + SECONDS
    for name, value in reversed(list(namespace.items())):
        if type(name) is not str or name.startswith("_") or is_imported(value, namespace):
            continue
        try:
            text = describe(value)
        except Exception:  # a library whose objects are not what they look like
            text = class_name(value)
        found.append(clip(f"{name[:NAME_CHARS]}: {text}", LINE_CHARS))
        if len(found) == MOST_NAMES or time.monotonic() > ends:
            break
    return found[::-1]


def is_imported(value: "Any", namespace: "dict[str, Any]") -> bool:
    """Whether a value is a module, or code that the program has not defined itself."""
    kind = type(value)
    if kind is FunctionType:
        return value.__globals__ is not namespace
    if issubclass(kind, type):
        return package_of(value) != "__main__"
    return issubclass(kind, ModuleType) or class_name(value) in ("builtin_function_or_method", "ufunc")


def own_dict(value: "Any") -> "Any":
    """The attributes of an object or a class, {} if it has none; no code of the program is called."""
    if issubclass(type(value), type):
        return type.__dict__["__dict__"].__get__(value)
    for kind in type.__dict__["__mro__"].__get__(type(value)):
        holder = own_dict(kind).get("__dict__")
        if holder is not None:
            return holder.__get__(value) if type(holder) is GetSetDescriptorType else {}
    return {}


def class_name(value: "Any") -> str:
    """The name of a value's class, as it was defined."""
    return "".join((type.__dict__["__qualname__"].__get__(type(value)), ""))[:NAME_CHARS]


def library_of(value: "Any") -> str:
    """The package that defines the class of a value."""
    return package_of(type(value))


def package_of(kind: "Any") -> str:
    """The package that defines a class; "" where the class does not say."""
    try:
        module = type.__dict__["__module__"].__get__(kind)
    except AttributeError:
        return ""
    return module.partition(".")[0] if type(module) is str else ""


def describe(value: "Any") -> str:
    """What a value is, and how it begins."""
    kind = type(value)
    if kind is FunctionType:
        return f"function {parameters(value)}"
    if issubclass(kind, type):
        return describe_class(value)
    if class_name(value) == "_lru_cache_wrapper":
        return f"function {parameters(own_dict(value).get('__wrapped__'))}"
    if kind is str:
        length = f" of {len(value)} characters" if len(value) > TEXT_CHARS else ""
        return f"str{length} {show(value)}"
    if items_of(value) is not None:
        return describe_items(value)
    if library_of(value) in ("numpy", "pandas"):
        return describe_table(value)
    attributes = own_dict(value)
    if library_of(value) == "__main__" and attributes:
        return f"{class_name(value)} with {show_pairs(attributes, '=', DEPTH)}"
    shown = show(value)
    return class_name(value) if shown == MORE else f"{class_name(value)} {shown}"


def describe_items(value: "Any") -> str:
    """A collection: how many items of which types, and the first of them."""
    items = items_of(value) or ()
    kinds = list(dict.fromkeys(class_name(item) for item in first(items, SAMPLED)))
    if issubclass(type(value), dict):
        held = [item for _, item in first(dict.items(value), SAMPLED)]
        to = list(dict.fromkeys(class_name(item) for item in held))
        of = f" {'/'.join(kinds[:3])} to {'/'.join(to[:3])}" if kinds else ""
    else:
        of = f" {'/'.join(kinds[:3])}" if kinds else ""
    return f"{class_name(value)} of {size(value)}{of} {show(value)}"


def items_of(value: "Any") -> "Iterable[Any] | None":
    """The items of a collection of Python's own, past what a subclass makes of it; else None."""
    kind = type(value)
    for collection in (list, tuple, dict, set, frozenset):
        if issubclass(kind, collection):
            items: Iterable[Any] = collection.__iter__(value)
            return items
    if class_name(value) == "deque" and library_of(value) == "collections":
        return list(value)[: SAMPLED + 1] if len(value) < 10_000 else [value[0]]
    return None


def size(value: "Any") -> int:
    kind = type(value)
    for collection in (list, tuple, dict, set, frozenset):
        if issubclass(kind, collection):
            return int(collection.__len__(value))
    return len(value)


def first(items: "Iterable[Any]", count: int) -> "Iterator[Any]":
    for _, item in zip(range(count), items, strict=False):
        yield item


def show(value: "Any", depth: int = DEPTH) -> str:
    """A value as Python writes it, shortened; "..." where that takes code of the program, or is too deep."""
    kind = type(value)
    if kind is str:
        return repr(value if len(value) <= TEXT_CHARS else value[: TEXT_CHARS - 3] + MORE)
    if kind is bytes:
        return repr(value[:TEXT_CHARS])
    if kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= LONGEST_INT_BITS else f"an integer of {bits} bits"
    if kind is float:
        return repr(value) if len(repr(value)) <= FLOAT_CHARS else f"{value:.6g}"
    if any(kind is each for each in PLAIN):
        return repr(value)
    items = items_of(value)
    if items is not None:
        return show_items(value, depth) if depth else MORE
    if library_of(value) == "numpy" and not class_name(value).endswith("array"):
        return show(value.item(), 0) if callable(getattr(value, "item", None)) else MORE
    if library_of(value) in ("datetime", "decimal", "fractions", "pathlib", "uuid"):
        return str(value)[:TEXT_CHARS]
    if library_of(value) == "pandas" and class_name(value) in ("Timestamp", "Timedelta"):
        return str(value)[:TEXT_CHARS]
    attributes = own_dict(value)
    if library_of(value) == "__main__" and attributes and depth:
        return f"{class_name(value)}({show_pairs(attributes, '=', depth - 1)})"
    return MORE


def show_items(value: "Any", depth: int) -> str:
    kind = type(value)
    opens, closes = ("{", "}") if issubclass(kind, (dict, set, frozenset)) else ("[", "]")
    if issubclass(kind, tuple):
        opens, closes = "(", ")"
    if issubclass(kind, dict):
        return f"{opens}{show_pairs(value, ': ', depth - 1)}{closes}"
    shown = [show(item, depth - 1) for item in first(items_of(value) or (), MOST_ITEMS)]
    more = [MORE] if size(value) > MOST_ITEMS else []
    return f"{opens}{', '.join(shown + more)}{closes}"


def show_pairs(pairs: "dict[Any, Any]", sign: str, depth: int) -> str:
    """The first keys of a dictionary with their values."""
    shown = [
        f"{label(key) if sign == '=' else show(key, depth)}{sign}{show(item, depth)}"
        for key, item in first(dict.items(pairs), MOST_ITEMS)
    ]
    return ", ".join(shown + ([MORE] if dict.__len__(pairs) > MOST_ITEMS else []))


def parameters(function: "Any", skip: int = 0) -> str:
    """The parameters of a function with simple defaults; `skip` leaves out the first ones."""
    if type(function) is not FunctionType:
        return f"({MORE})"
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    shown = list(names)
    for at, value in enumerate(defaults, start=len(names) - len(defaults)):
        shown[at] += f"={show(value, 1)}"
    shown, rest = shown[skip:], code.co_argcount + code.co_kwonlyargcount
    if code.co_flags & 0x04:
        shown.append(f"*{code.co_varnames[rest]}")
        rest += 1
    elif code.co_kwonlyargcount:
        shown.append("*")
    last = [f"**{code.co_varnames[rest]}"] if code.co_flags & 0x08 else []
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    given = function.__kwdefaults__ or {}
    shown += [f"{name}={show(given[name], 1)}" if name in given else name for name in keywords] + last
    return f"({', '.join(shown[:MOST_PARAMETERS] + ([MORE] if len(shown) > MOST_PARAMETERS else []))})"


def describe_class(kind: "Any") -> str:
    """A class by how it is made, and its public methods."""
    own = own_dict(kind)
    methods, made = [], ""
    for name, value in first(own.items(), 4 * MOST_METHODS):
        skip = int(type(value) is not staticmethod)
        if type(value) is staticmethod or type(value) is classmethod:
            value = value.__func__
        if type(value) is not FunctionType:
            continue
        if name == "__init__":
            made = parameters(value, skip)
        elif not name.startswith("_"):
            methods.append(name + parameters(value, skip))
    told = f" with methods {', '.join(methods[:MOST_METHODS])}" if methods else ""
    return f"class {made}{told}".rstrip()


def describe_table(value: "Any") -> str:
    """An array, a table, or another object of NumPy or pandas."""
    name = class_name(value)
    if name == "ndarray":
        return describe_array(value)
    if name == "DataFrame":
        return describe_frame(value)
    if name == "Series":
        called = f" {value.name!r}" if type(value.name) is str else ""
        items = show(value.iloc[: MOST_ITEMS + 1].tolist())
        return f"Series{called} of {len(value)} {value.dtype} {items}{describe_index(value)}"
    shown = show(value)
    return name if shown == MORE else f"{name} {shown}"


def describe_array(value: "Any") -> str:
    shape = " x ".join(map(str, value.shape)) or "scalar"
    whole = value.size <= ARRAY_ITEMS
    shown = show(value.tolist(), 3) if whole else show(value.flat[: MOST_ITEMS + 1].tolist())
    return f"ndarray {shape} {value.dtype} {shown}"


def describe_frame(value: "Any") -> str:
    """The columns of a table with their types, and its first row."""
    rows, count = value.shape
    shown = range(min(count, MOST_COLUMNS))
    columns = [f"{label(value.columns[at])} {value.dtypes.iloc[at]}" for at in shown]
    columns += [MORE] if count > MOST_COLUMNS else []
    row = ", ".join(show(value.iloc[0, at], 1) for at in shown) if rows else ""
    first_row = f"; first row {row}" if row else ""
    return f"DataFrame {rows} x {count}, columns {', '.join(columns)}{describe_index(value)}{first_row}"


def describe_index(value: "Any") -> str:
    """The labels of the rows, unless they are only counted."""
    if class_name(value.index) == "RangeIndex":
        return ""
    return f"; index {show(value.index[: MOST_ITEMS + 1].tolist())}"


def label(name: "Any") -> str:
    return name if type(name) is str else show(name)


def clip(text: str, length: int) -> str:
    """A text in one line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + MORE
