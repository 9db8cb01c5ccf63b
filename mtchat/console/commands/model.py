"""Says which model writes, or goes on with another.

NAME is starter, starter-small, a folder with safetensors, a .gguf file, or a name on the model hub.
"""

from mtchat.console.console import Console

USAGE = "[NAME]"


def do(console: Console, argument: str) -> None:
    if argument.strip():
        console.chat.model = console.host.load(argument.strip())
        console.view.say(f"{console.chat.model.name} is loading; you can type on")
        return
    stage = console.chat.model.stage()
    licence = "" if stage else console.chat.model.card().licence
    console.view.say(f"{console.chat.model.name}{f' ({stage})' if stage else ''}{licence and f', {licence}'}")
    for name, meaning in console.host.models():
        console.view.row(name, meaning)


def complete(console: Console) -> list[tuple[str, str]]:
    return console.host.models()
