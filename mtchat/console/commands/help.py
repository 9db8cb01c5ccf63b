"""Lists the commands and keys, or says more about one command."""

import inspect

from mtchat import plugins
from mtchat.console import slash
from mtchat.console.desk import Desk
from mtchat.console.key_list import KEYS

USAGE = "[COMMAND]"


def do(desk: Desk, argument: str) -> None:
    name = argument.strip().removeprefix("/")
    if name:
        module = plugins.load(slash.COMMANDS, name)
        desk.view.heading(f"/{name} {getattr(module, 'USAGE', '')}".rstrip())
        for paragraph in (inspect.getdoc(module) or "").split("\n\n"):
            desk.view.say(" ".join(paragraph.split("\n")))
        return
    desk.view.say("Any other text is an instruction: the model writes the next piece of the program.")
    desk.view.line()
    for command in slash.commands():
        desk.view.row(command.words, command.meaning)
    desk.view.line()
    for key, meaning in KEYS:
        desk.view.row(key, meaning)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(command.name, command.meaning) for command in slash.commands()]
