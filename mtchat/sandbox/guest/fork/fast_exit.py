"""Whether a program can end without Python's finalization, so that nobody notices the difference.

Finalization takes every module and object apart, which takes longer than most turns. All that a user can
notice of it are finalizers: of generators and coroutines, of open files, of classes with __del__. So it is
skipped only if everything that the program can reach is known to have none.
"""

from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MOST_VALUES = 3000
PLAIN_TYPES = {int, float, complex, str, bytes, bytearray, bool, type(None), range, slice, type(Ellipsis)}
SAFE_TYPES = (
    *PLAIN_TYPES,
    *(FunctionType, BuiltinFunctionType, ModuleType, property, staticmethod, classmethod),
    *(GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType),
)
# Packages whose objects need no finalization, and modules whose objects do.
SAFE_PACKAGES = {
    *("numpy", "pandas", "sklearn", "matplotlib", "datetime", "decimal", "fractions", "re", "math"),
    *("dataclasses", "typing", "_abc", "random", "pathlib", "scipy", "torch", "polars", "pyarrow"),
    *("seaborn", "statsmodels", "lightgbm", "xgboost", "dask", "plotly", "sympy", "networkx", "PIL", "bs4"),
}
UNSAFE_MODULES = ("matplotlib.animation", "shelve")
PROGRAM = ("__main__", "__mp_main__")  # the name that multiprocessing uses


def can_skip_finalizers(main: "dict[str, Any]", modules: "dict[str, Any]", home: str) -> bool:
    """Whether nothing that the program or a module of its own has bound has a finalizer."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # examining an object may warn, but the program did not ask for it
        return has_no_finalizers(main, modules, home)


def has_no_finalizers(main: "dict[str, Any]", modules: "dict[str, Any]", home: str) -> bool:
    if any(name in modules for name in UNSAFE_MODULES) or uses_event_loop(modules):
        return False
    others = [module for name, module in list(modules.items()) if name not in PROGRAM]
    if any(str(getattr(module, "__file__", "")).startswith(home) for module in others):
        return False
    rest, seen = list(main.values()), set()
    while rest:
        value = rest.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if len(seen) > MOST_VALUES:
            return False
        inner = contents_of(value)
        if inner is None:
            return False
        rest += inner
    return True


def uses_event_loop(modules: "dict[str, Any]") -> bool:
    """Whether asyncio, which many packages import, has been used: the first loop creates a policy."""
    events, tasks = modules.get("asyncio.events"), modules.get("asyncio.tasks")
    made = getattr(events, "_event_loop_policy", None) is not None
    return made or bool(getattr(tasks, "_all_tasks", None) or getattr(tasks, "_scheduled_tasks", None))


def contents_of(value: "Any") -> "list[Any] | None":
    """The parts of a value that must be examined; None if it may have a finalizer."""
    kind = type(value)
    if kind in SAFE_TYPES:
        if kind is FunctionType:
            return [cell.cell_contents for cell in value.__closure__ or () if not is_empty(cell)]
        return []
    own = kind.__module__ in ("builtins", "collections") or not hasattr(kind, "__del__")
    if isinstance(value, (list, tuple, set, frozenset)) and own:
        return drop_plain(value)
    if isinstance(value, dict) and own:
        return drop_plain(value.keys()) + drop_plain(value.values())
    if isinstance(value, type):
        return list(vars(value).values()) if value.__module__ == "__main__" else []
    if kind.__module__.partition(".")[0] in SAFE_PACKAGES:
        return array_objects(value) if not hasattr(kind, "__del__") else None
    if kind.__module__ == "__main__" and not hasattr(kind, "__del__"):
        return list(getattr(value, "__dict__", {}).values()) if not hasattr(kind, "__slots__") else None
    return None


def array_objects(value: "Any") -> "list[Any]":
    """The elements of an array or a column of objects; none if it holds numbers."""
    if str(getattr(value, "dtype", "")) != "object":
        return []
    flat = value.to_numpy() if hasattr(value, "to_numpy") else value.ravel()
    return list(flat[:MOST_VALUES])


def drop_plain(values: "Iterable[Any]") -> "list[Any]":
    return [value for value in values if type(value) not in PLAIN_TYPES]


def is_empty(cell: "Any") -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asking is the test
    except ValueError:
        return True
    return False
