"""Shows the settings, or changes one: /set temperature 0.4, /set seconds 2min.

The language is the session's, from its first turn on: /set language javascript. Only Python is run.
"""

from mtchat.console.captions import explain_not_run
from mtchat.console.console import Console
from mtchat.errors import UsageError
from mtchat.generate import policy
from mtchat.session.settings import named

USAGE = "[NAME VALUE]"


def do(console: Console, argument: str) -> None:
    name, _, value = argument.strip().partition(" ")
    name = named(name)
    if name and value.strip():
        if name == "policy":
            policy.load(value.strip())
        changed = console.chat.settings.with_text(name, value)
        console.speak(changed.language)
        console.chat.settings = changed
        console.view.say(f"{name} is {console.chat.settings.text(name)}")
        if name == "language" and not console.session.language.runs:
            console.view.note(explain_not_run(console.session))
        return
    rows = [row for row in console.chat.settings.rows() if not name or row[0] == name]
    if not rows:
        raise UsageError(f"no setting {name!r}; /set lists them")
    for setting, current, meaning in rows:
        console.view.row(f"{setting:<12} {current}", meaning)


def complete(console: Console) -> list[tuple[str, str]]:
    return [(name, meaning) for name, _, meaning in console.chat.settings.rows()]
