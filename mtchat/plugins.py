"""Finds extensions: the files of an open folder, and what other packages offer under entry points.

An open folder holds one file per extension; its name is the extension's name and its docstring the help.
Any installed package adds to it without touching mtchat, by entry points in its pyproject.toml:

    [project.entry-points."mtchat.policies"]
    careful = "my_package.policy:POLICY"

The groups are those of `GROUPS`. A name that mtchat has itself cannot be replaced.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, TypeVar

from mtchat.errors import PluginError, UsageError, reason

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# What an entry point of each group names.
GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "mtchat.families": "a module with the functions of mtchat.generate.prompt.family.Family",
        "mtchat.formats": "a module with SUFFIX and write(session) -> str",
        "mtchat.backends": "a module with the functions of mtchat.sandbox.backend.Backend",
        "mtchat.policies": "a mtchat.Policy",
        "mtchat.commands": "a mtchat.Command: a slash command of the REPL and of scripts",
        "mtchat.models": "a function load(name, report) that returns a mtchat.Model",
    }
)

T = TypeVar("T")


def names(package: str) -> tuple[str, ...]:
    """The extensions of an open folder, sorted, with those of other packages; none of them is imported."""
    return tuple(sorted({*files(package), *offered(group_of(package))}))


def load(package: str, name: str) -> ModuleType:
    """One extension by its name, as a module; an unknown name is a UsageError that lists the known ones."""
    if name in files(package):
        return importlib.import_module(f"{package}.{name}")
    found = offered(group_of(package)).get(name)
    if found is None:
        kind, known = package.rsplit(".", 1)[-1], ", ".join(names(package))
        raise UsageError(f"{name!r} is not one of the {kind}: {known}")
    return get(found, ModuleType)


def load_all(package: str) -> dict[str, ModuleType]:
    """All extensions of an open folder by name; those of other packages that fail to load are left out."""
    found = {name: importlib.import_module(f"{package}.{name}") for name in files(package)}
    others = values(group_of(package), ModuleType)
    return dict(sorted({**others, **found}.items()))


def values(group: str, kind: type[T] | tuple[type[T], ...]) -> dict[str, T]:
    """What other packages offer under a group, by name; what fails to load or is no `kind` is left out.

    So one broken package ends no session; `problems` tells the doctor, `value` whoever asks for it by name.
    """
    found: dict[str, T] = {}
    for name in sorted(offered(group)):
        with suppress(PluginError):
            found[name] = get(offered(group)[name], kind)
    return found


def value(group: str, name: str, kind: type[T] | tuple[type[T], ...]) -> T | None:
    """What another package offers under this name, None if none does. PluginError if it fails to load."""
    found = offered(group).get(name)
    return get(found, kind) if found is not None else None


def problems() -> Iterator[str]:
    """What is wrong with the extensions of other packages, a line for each that cannot be loaded."""
    for group in GROUPS:
        for found in offered(group).values():
            try:
                imported(found)
            except PluginError as error:
                yield str(error)


def functions(group: str) -> dict[str, Callable[[], Callable[..., object]]]:
    """The functions that other packages offer under a group, by name; calling a value imports its package."""
    return {name: partial(function, found) for name, found in sorted(offered(group).items())}


def summary(module: ModuleType) -> str:
    """The first line of an extension's docstring: its one-line help."""
    return (module.__doc__ or "").strip().split("\n", 1)[0]


def group_of(package: str) -> str:
    """The entry-point group that adds to an open folder: mtchat.formats for mtchat.export.formats."""
    return f"mtchat.{package.rsplit('.', 1)[-1]}"


@cache
def files(package: str) -> tuple[str, ...]:
    """The names of the files of an open folder, sorted; one that begins with _ is no extension."""
    folder = importlib.import_module(package).__path__
    found = (module.name for module in pkgutil.iter_modules(folder))
    return tuple(sorted(name for name in found if not name.startswith("_")))


@cache
def offered(group: str) -> Mapping[str, "EntryPoint"]:
    """What the packages of this environment offer under a group, by name; the first of a name counts."""
    if group not in GROUPS:
        return {}
    from importlib.metadata import entry_points  # takes 50 ms, which --help does not need

    found: dict[str, EntryPoint] = {}
    for each in entry_points(group=group):
        found.setdefault(each.name, each)
    return found


def get(found: "EntryPoint", kind: type[T] | tuple[type[T], ...]) -> T:
    """What an entry point names. PluginError says which package fails, and why."""
    value = imported(found)
    if not isinstance(value, kind):
        raise PluginError(
            f"{found.name} of {source(found)} is {type(value).__name__}, but {found.group} takes "
            f"{GROUPS[found.group]}"
        )
    return value


def function(found: "EntryPoint") -> Callable[..., object]:
    """The function that an entry point names."""
    value = imported(found)
    if not callable(value):
        raise PluginError(
            f"{found.name} of {source(found)} is {type(value).__name__}, but {found.group} takes "
            f"{GROUPS[found.group]}"
        )
    return value


def imported(found: "EntryPoint") -> object:
    try:
        value: object = found.load()
    except Exception as error:  # another package's code can raise anything
        raise PluginError(
            f"{found.name} of {source(found)} cannot be loaded: {reason(error)}; "
            "update or uninstall that package"
        ) from error
    return value


def source(found: "EntryPoint") -> str:
    """The package that offers an extension, with its version."""
    return f"{found.dist.name} {found.dist.version}" if found.dist is not None else found.value
