"""Lists an open folder and loads one file of it: the file's name is the extension's name."""

import importlib
import pkgutil
from types import ModuleType

from mtchat.errors import UsageError


def names(package: str) -> tuple[str, ...]:
    """The extensions in an open folder, sorted; none of them is imported."""
    folder = importlib.import_module(package).__path__
    found = (module.name for module in pkgutil.iter_modules(folder))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """One extension by its name; an unknown name is a UsageError that lists the known ones."""
    known = names(package)
    if name not in known:
        raise UsageError(f"{name!r} is none of the {package.rsplit('.', 1)[-1]}: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")


def summary(module: ModuleType) -> str:
    """The first line of an extension's docstring: its one-line help."""
    return (module.__doc__ or "").strip().split("\n", 1)[0]
