"""Lists the commands and keys, or says more about one command."""

import inspect

from mtchat import registry
from mtchat.repl.desk import Desk

USAGE = "[COMMAND]"
COMMANDS = "mtchat.repl.commands"
KEYS = (
    ("Enter", "sends the instruction"),
    ("Alt-Enter", "starts a new line; a pasted text stays one instruction"),
    ("Ctrl-X Ctrl-E", "edits the instruction in $EDITOR"),
    ("Up, Down, Ctrl-R", "earlier instructions; → takes the grey suggestion"),
    ("Ctrl-C", "stops the model or the run, and keeps what is there"),
    ("Ctrl-D", "leaves; everything is saved"),
)


def do(desk: Desk, argument: str) -> None:
    name = argument.strip().removeprefix("/")
    if name:
        module = registry.load(COMMANDS, name)
        desk.view.heading(f"/{name} {getattr(module, 'USAGE', '')}".rstrip())
        desk.view.line(inspect.getdoc(module) or "")
        return
    desk.view.line("Any other text is an instruction: the model writes the next piece of the program.")
    desk.view.line()
    for command, usage, meaning in table():
        desk.view.row(f"/{command} {usage}", meaning)
    desk.view.line()
    for key, meaning in KEYS:
        desk.view.row(key, meaning)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(name, meaning) for name, _, meaning in table()]


def table() -> list[tuple[str, str, str]]:
    """(name, arguments, one-line help) of every command."""
    modules = [(name, registry.load(COMMANDS, name)) for name in registry.names(COMMANDS)]
    return [(name, getattr(module, "USAGE", ""), registry.summary(module)) for name, module in modules]
