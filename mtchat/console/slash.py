"""Slash commands: what one is, how they are found, those of other packages too, and how one is run."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec

from mtchat import features, plugins
from mtchat.console.captions import explain_not_run
from mtchat.console.console import Console
from mtchat.errors import MtchatError, UsageError

Rows = Iterable[tuple[str, str]]

FOLDER = "mtchat.console.commands"
GROUP = "mtchat.commands"  # the entry points of other packages


@dataclass(frozen=True)
class Command:
    """A slash command. The docstring of `do` is its help, and the first line of it says what it is for.

    `usage` shows its arguments, `complete` offers some with what they mean, and where `paths` is in what was
    typed, names of files are offered ("" for anywhere, None for nowhere). One that is `python_only` needs a
    program in Python.
    """

    name: str
    do: Callable[[Console, str], None]
    usage: str = ""
    complete: Callable[[Console], Rows] | None = None
    paths: str | None = None
    python_only: bool = False

    @property
    def help(self) -> str:
        return inspect.getdoc(self.do) or ""

    @property
    def meaning(self) -> str:
        """Its help in one line."""
        return self.help.split("\n", 1)[0]

    @property
    def words(self) -> str:
        """How it is typed."""
        return f"/{self.name} {self.usage}".rstrip()


@cache
def commands() -> tuple[Command, ...]:
    """Every command, by name; a name that mtchat has itself cannot be replaced."""
    own = own_commands()
    offered: dict[str, Command] = plugins.values(GROUP)
    others = {name: guarded(name, each) for name, each in offered.items() if name not in own}
    return tuple(sorted([*own.values(), *others.values()], key=lambda each: each.name))


def own_commands() -> dict[str, Command]:
    """The commands of mtchat itself, by name."""
    return {each.name: each for module in modules() for each in importlib.import_module(module).COMMANDS}


def guarded(name: str, command: Command) -> Command:
    """A command of another package under the name of its entry point; its errors become PluginErrors."""
    found, complete = plugins.offered(GROUP)[name], command.complete

    def offer(console: Console) -> Rows:
        return tuple(complete(console)) if complete else ()

    return replace(
        command,
        name=name,
        do=plugins.guard(found, command.do),
        complete=plugins.guard(found, offer) if complete else None,
    )


def modules() -> Iterator[str]:
    """The modules with a table COMMANDS: all of console/commands, and `commands` of each feature."""
    for name in plugins.files(FOLDER):
        yield f"{FOLDER}.{name}"
    for module in pkgutil.iter_modules(features.__path__):
        name = f"{features.__name__}.{module.name}.commands"
        if find_spec(name) is not None:
            yield name


def names() -> tuple[str, ...]:
    return tuple(each.name for each in commands())


def find(name: str) -> Command:
    """A command by its name; an unknown name is a UsageError that says which one may be meant.

    A broken one of another package is a PluginError that says what is wrong with it.
    """
    for each in commands():
        if each.name == name:
            return each
    plugins.value(GROUP, name)  # PluginError says why one of another package is not used
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f" (did you mean /{near[0]}?)" if near else ""
    raise UsageError(f"no command /{name}{hint}; /help lists them")


def is_command(line: str) -> bool:
    """Whether a line is for a command: it begins with a slash and a letter."""
    return line[:1] == "/" and line[1:2].isalpha()


def do(console: Console, line: str) -> None:
    """Does a command, given without its slash and with its argument."""
    name, *rest = line.split(maxsplit=1)
    command = find(name)
    if command.python_only and not console.session.language.runs:
        raise MtchatError(f"/{name} needs a program in Python: {explain_not_run(console.session)}")
    command.do(console, rest[0] if rest else "")
