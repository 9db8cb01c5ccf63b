"""Shows the settings, or changes one: /set temperature 0.4, /set seconds 2min.

The language is the session's, from its first turn on: /set language javascript. Only Python is run.
"""

from mtchat.console.captions import explain_not_run
from mtchat.console.desk import Desk
from mtchat.errors import UsageError
from mtchat.generate import policy
from mtchat.session.settings import named

USAGE = "[NAME VALUE]"


def do(desk: Desk, argument: str) -> None:
    name, _, value = argument.strip().partition(" ")
    name = named(name)
    if name and value.strip():
        if name == "policy":
            policy.load(value.strip())
        changed = desk.settings.with_text(name, value)
        desk.speak(changed.language)
        desk.settings = changed
        desk.view.say(f"{name} is {desk.settings.text(name)}")
        if name == "language" and not desk.session.language.runs:
            desk.view.note(explain_not_run(desk.session))
        return
    rows = [row for row in desk.settings.rows() if not name or row[0] == name]
    if not rows:
        raise UsageError(f"no setting {name!r}; /set lists them")
    for setting, current, meaning in rows:
        desk.view.row(f"{setting:<12} {current}", meaning)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(name, meaning) for name, _, meaning in desk.settings.rows()]
