"""Says which model writes, or goes on with another.

NAME is starter, starter-small, a folder with safetensors, a .gguf file, or a name on the model hub.
"""

from mtchat.console.desk import Desk

USAGE = "[NAME]"


def do(desk: Desk, argument: str) -> None:
    if argument.strip():
        desk.model = desk.tools.load(argument.strip())
        desk.view.say(f"{desk.model.name} is loading; you can type on")
        return
    stage = desk.model.stage()
    licence = "" if stage else desk.model.card().licence
    desk.view.say(f"{desk.model.name}{f' ({stage})' if stage else ''}{licence and f', {licence}'}")
    for name, meaning in desk.tools.models():
        desk.view.row(name, meaning)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return desk.tools.models()
