"""The slash commands as the folder has them: what they are called, take and do."""

from dataclasses import dataclass

from mtchat import plugins

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
