"""Commands for the REPL itself: set, model, help, quit."""

from mtchat.console import slash
from mtchat.console.captions import describe_think, explain_not_run
from mtchat.console.console import Console, Leave
from mtchat.console.slash import Command
from mtchat.console.terminal import KEYS
from mtchat.errors import UsageError
from mtchat.generate import policy
from mtchat.session.settings import full_name


def do_set(console: Console, argument: str) -> None:
    """Shows the settings, or changes one: /set temperature 0.4, /set seconds 2min.

    A session keeps its language from the first turn on: /set language javascript. Only Python runs.
    """
    name, _, value = argument.strip().partition(" ")
    name = full_name(name)
    if name and value.strip():
        if name == "policy":
            policy.load(value.strip())
        changed = console.chat.settings.with_text(name, value)
        console.set_language(changed.language)
        console.chat.settings = changed
        console.view.say(f"{name} is {console.chat.settings.text(name)}")
        if name == "think" and not console.chat.model.stage():
            console.view.warning(describe_think(changed.think, console.chat.model.card()))
        if name == "language" and not console.session.language.runs:
            console.view.note(explain_not_run(console.session))
        return
    rows = [row for row in console.chat.settings.rows() if not name or row[0] == name]
    if not rows:
        raise UsageError(f"no setting {name!r}; /set lists them")
    for setting, current, meaning in rows:
        console.view.row(f"{setting:<12} {current}", meaning)


def complete_set(console: Console) -> list[tuple[str, str]]:
    return [(name, meaning) for name, _, meaning in console.chat.settings.rows()]


def do_model(console: Console, argument: str) -> None:
    """Shows which model is used, or switches to another.

    NAME is one that mtchat models lists, a folder with safetensors, a .gguf file, or a name on the model hub
    such as owner/repo:Q4_K_M.
    """
    if argument.strip():
        console.chat.model = console.host.load(argument.strip())
        console.view.say(f"{console.chat.model.name} is loading in the background; you can keep typing")
        return
    stage = console.chat.model.stage()
    licence = "" if stage else console.chat.model.card().licence
    console.view.say(f"{console.chat.model.name}{f' ({stage})' if stage else ''}{licence and f', {licence}'}")
    for name, meaning in console.host.models():
        console.view.row(name, meaning)


def complete_model(console: Console) -> list[tuple[str, str]]:
    return console.host.models()


def do_help(console: Console, argument: str) -> None:
    """Lists commands and keys, or explains one command."""
    name = argument.strip().removeprefix("/")
    if name:
        command = slash.find(name)
        console.view.heading(command.words)
        for paragraph in command.help.split("\n\n"):
            console.view.say(" ".join(paragraph.split("\n")))
        return
    console.view.say("Any other text is an instruction: the model writes the next piece of the program.")
    console.view.line()
    for command in slash.commands():
        console.view.row(command.words, command.meaning)
    console.view.line()
    for key, meaning in KEYS:
        console.view.row(key, meaning)


def complete_help(console: Console) -> list[tuple[str, str]]:
    return [(command.name, command.meaning) for command in slash.commands()]


def do_quit(console: Console, argument: str) -> None:
    """Quits; everything is saved."""
    raise Leave


COMMANDS = (
    Command("set", do_set, usage="[NAME VALUE]", complete=complete_set),
    Command("model", do_model, usage="[NAME]", complete=complete_model),
    Command("help", do_help, usage="[COMMAND]", complete=complete_help),
    Command("quit", do_quit),
)
