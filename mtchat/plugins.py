"""Finds extensions: the files of an open folder, and what other packages offer under entry points.

An open folder holds one file per extension; its name is the extension's name and its docstring the help.
Any installed package adds to it without touching mtchat, by entry points in its pyproject.toml:

    [project.entry-points."mtchat.policies"]
    careful = "my_package.policy:POLICY"

The groups are those of `GROUPS`. A name that mtchat has itself cannot be replaced. No fault of another
package ends a session: what breaks its contract is left out, and what its code raises becomes a PluginError.
"""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, wraps
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mtchat.errors import MtchatError, PluginError, UsageError, reason

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
ANYTHING = "builtins:object"
TEXT = "builtins:str"


@dataclass(frozen=True)
class Contract:
    """What an entry point of a group names. Kinds are written as module:name and imported when needed.

    A module must define `values`, each of that kind, and `functions`, which return that kind; it may define
    `optional` functions. `name` is what the entry point itself may be called.
    """

    what: str
    kind: str = "types:ModuleType"
    values: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    name: str = ".+"


GROUPS: Mapping[str, Contract] = MappingProxyType(
    {
        "mtchat.families": Contract(
            "a module with the functions of mtchat.generate.prompt.family.Family",
            functions={
                "matches": ANYTHING,
                **dict.fromkeys(("render", "repair", "revise"), "mtchat.session.prompt:Prompt"),
                "cut": "mtchat.generate.prompt.family:Cut",
                "chunk": TEXT,
            },
        ),
        "mtchat.formats": Contract(
            "a module with SUFFIX and write(session) -> str",
            values={"SUFFIX": TEXT},
            functions={"write": TEXT},
            optional={"import_text": "mtchat.export.format:ImportedProgram", "illustrate": TEXT},
        ),
        "mtchat.backends": Contract(
            "a module with RANK and the functions of mtchat.sandbox.backend.Backend",
            values={"RANK": "builtins:int"},
            functions={"variants": "builtins:tuple", "prepare": ANYTHING, "explain": "builtins:tuple"},
        ),
        "mtchat.policies": Contract("a mtchat.Policy", kind="mtchat:Policy"),
        "mtchat.commands": Contract(
            "a mtchat.Command: a slash command of the REPL and of scripts",
            kind="mtchat:Command",
            name=r"[^\W\d_][\w-]*",
        ),
        "mtchat.models": Contract(
            "a function load(name, report) that returns a mtchat.Model", kind="collections.abc:Callable"
        ),
    }
)


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
    return cast(ModuleType, get(found))


def load_all(package: str) -> dict[str, ModuleType]:
    """All extensions of an open folder by name, without faulty ones of other packages."""
    found = {name: importlib.import_module(f"{package}.{name}") for name in files(package)}
    others = values(group_of(package))
    return dict(sorted({**others, **found}.items()))


def values(group: str) -> dict[str, Any]:
    """What other packages offer under a group, by name, without what fails to load or breaks its contract.

    So one broken package ends no session; `problems` tells the doctor, `value` whoever asks for it by name.
    """
    found: dict[str, Any] = {}
    for name in sorted(offered(group)):
        with suppress(PluginError):
            found[name] = get(offered(group)[name])
    return found


def value(group: str, name: str) -> Any:
    """What another package offers under this name, None if none does. PluginError if it is faulty."""
    found = offered(group).get(name)
    return get(found) if found is not None else None


def problems(own: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """What is wrong with the extensions of other packages: the package, and a line for each that is not used.

    `own` holds the names that mtchat has itself, by group.
    """
    for group in GROUPS:
        for found in offered(group).values():
            if found.name in own.get(group, ()):
                yield (
                    source(found),
                    f"{found.name} of {source(found)} is ignored: mtchat has {found.name} itself, and "
                    "names of its own cannot be replaced",
                )
                continue
            try:
                get(found)
            except PluginError as error:
                yield source(found), str(error)
    yield from unknown_groups()


def unknown_groups() -> Iterator[tuple[str, str]]:
    """The entry points that are meant for mtchat under a group that it does not have."""
    from importlib.metadata import entry_points

    known = entry_points()
    for group in sorted(group for group in known.groups if group.startswith("mtchat.")):
        if group not in GROUPS:
            near = difflib.get_close_matches(group, GROUPS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the groups are {', '.join(GROUPS)}"
            for found in known.select(group=group):
                text = f"{found.name} of {source(found)} is ignored: mtchat has no group {group}; {hint}"
                yield source(found), text


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


@cache
def get(found: "EntryPoint") -> object:
    """What an entry point names, checked by its contract. PluginError says which package fails, and why.

    A module is given as a copy whose functions raise no other errors than MtchatError.
    """
    contract = GROUPS[found.group]
    if not re.fullmatch(contract.name, found.name):
        raise PluginError(
            f"{found.name!r} of {source(found)} cannot be a name in {found.group}: it has to begin with a "
            "letter and consist of letters, digits, - and _"
        )
    value = imported(found)
    if not isinstance(value, kind_of(contract.kind)):
        raise PluginError(
            f"{found.name} of {source(found)} is {type(value).__name__}, but {found.group} takes "
            f"{contract.what}"
        )
    if not isinstance(value, ModuleType):
        return value
    if faults := list(faults_of(value, contract)):
        raise PluginError(
            f"{found.name} of {source(found)} {' and '.join(faults)}, but {found.group} takes {contract.what}"
        )
    copy = ModuleType(value.__name__)
    vars(copy).update(vars(value))
    for name, returned in {**contract.functions, **contract.optional}.items():
        if (function := getattr(value, name, None)) is not None:
            setattr(copy, name, guard(found, function, returned))
    return copy


def faults_of(module: ModuleType, contract: Contract) -> Iterator[str]:
    """What a module lacks, or defines as something else than its contract says."""
    required = (*contract.values, *contract.functions)
    if missing := [name for name in required if not hasattr(module, name)]:
        yield f"lacks {', '.join(missing)}"
    for name, kind in contract.values.items():
        value = getattr(module, name, None)
        if hasattr(module, name) and not isinstance(value, kind_of(kind)):
            yield f"has a {name} that is {type(value).__name__}"
    for name in (*contract.functions, *contract.optional):
        if hasattr(module, name) and not callable(getattr(module, name)):
            yield f"has a {name} that is no function"


def guard(found: "EntryPoint", function: Callable[..., Any], returned: str = ANYTHING) -> Callable[..., Any]:
    """A function of another package that raises PluginError in place of errors that are not mtchat's.

    It does so also where the function returns something else than a `returned`.
    """

    @wraps(function)
    def guarded(*args: Any, **options: Any) -> Any:
        with converting_errors(found):
            value = function(*args, **options)
        if isinstance(value, AbstractContextManager):
            return guard_context(found, value)
        kind = kind_of(returned)
        if not isinstance(value, kind):
            name = getattr(function, "__name__", found.name)
            raise PluginError(
                f"{found.name} of {source(found)} failed: {name} returned {type(value).__name__} "
                f"in place of {kind.__name__}; update or uninstall that package"
            )
        return value

    return guarded


@contextmanager
def guard_context(found: "EntryPoint", context: AbstractContextManager[T]) -> Iterator[T]:
    """A context of another package; what is raised inside it is not the package's and stays as it is."""
    with ExitStack() as stack:
        with converting_errors(found):
            value = stack.enter_context(context)
        yield value


@contextmanager
def converting_errors(found: "EntryPoint") -> Iterator[None]:
    """What another package's code raises becomes a PluginError that names the package."""
    try:
        yield
    except MtchatError:
        raise
    except Exception as error:  # another package's code can raise anything
        raise PluginError(
            f"{found.name} of {source(found)} failed: {reason(error)}; update or uninstall that package"
        ) from error


@cache
def kind_of(name: str) -> type:
    """A kind by its module:name."""
    return cast(type, pkgutil.resolve_name(name))


def imported(found: "EntryPoint") -> object:
    """What an entry point names, unchecked."""
    try:
        value: object = found.load()
    except Exception as error:  # another package's code can raise anything
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        own = absent and f"{found.module}.".startswith(f"{absent}.")  # its own, which pip cannot install
        why = f"there is no module {absent}" if own else reason(error)
        raise PluginError(
            f"{found.name} of {source(found)} cannot be loaded: {why}; update or uninstall that package"
        ) from error
    return value


def source(found: "EntryPoint") -> str:
    """The package that offers an extension, with its version."""
    return f"{found.dist.name} {found.dist.version}" if found.dist is not None else found.value
