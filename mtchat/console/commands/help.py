"""Lists the commands and keys, or says more about one command."""

import inspect

from mtchat import plugins
from mtchat.console import slash
from mtchat.console.console import Console
from mtchat.console.terminal import KEYS

USAGE = "[COMMAND]"


def do(console: Console, argument: str) -> None:
    name = argument.strip().removeprefix("/")
    if name:
        module = plugins.load(slash.COMMANDS, name)
        console.view.heading(f"/{name} {getattr(module, 'USAGE', '')}".rstrip())
        for paragraph in (inspect.getdoc(module) or "").split("\n\n"):
            console.view.say(" ".join(paragraph.split("\n")))
        return
    console.view.say("Any other text is an instruction: the model writes the next piece of the program.")
    console.view.line()
    for command in slash.commands():
        console.view.row(command.words, command.meaning)
    console.view.line()
    for key, meaning in KEYS:
        console.view.row(key, meaning)


def complete(console: Console) -> list[tuple[str, str]]:
    return [(command.name, command.meaning) for command in slash.commands()]
