"""The slash commands as the folder has them: what they are called, take and do."""

import difflib
from dataclasses import dataclass
from typing import Any

from mtchat import plugins
from mtchat.console.captions import explain_not_run
from mtchat.errors import MtchatError, UsageError

COMMANDS = "mtchat.console.commands"


@dataclass(frozen=True)
class Command:
    """A command's name, its arguments as help shows them, and its one line of help."""

    name: str
    usage: str
    meaning: str

    @property
    def words(self) -> str:
        return f"/{self.name} {self.usage}".rstrip()


def names() -> tuple[str, ...]:
    return plugins.names(COMMANDS)


def commands() -> tuple[Command, ...]:
    """Every command, by name."""
    modules = ((name, plugins.load(COMMANDS, name)) for name in names())
    return tuple(
        Command(name, getattr(module, "USAGE", ""), plugins.summary(module)) for name, module in modules
    )


def is_command(line: str) -> bool:
    """Whether a line is for a command: it begins with a slash and a letter."""
    return line[:1] == "/" and line[1:2].isalpha()


def do(console: Any, line: str) -> None:
    """Does a command, given without its slash and with its argument."""
    name, *rest = line.split(maxsplit=1)
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean /{near[0]}?)" if near else ""
        raise UsageError(f"no command /{name}{hint}; /help lists them")
    command, session = plugins.load(COMMANDS, name), console.session
    if getattr(command, "PYTHON_ONLY", False) and not session.language.runs:
        raise MtchatError(f"/{name} needs a program in Python: {explain_not_run(session)}")
    command.do(console, rest[0] if rest else "")
