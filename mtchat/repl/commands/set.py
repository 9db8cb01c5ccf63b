"""Shows the settings, or changes one: /set temperature 0.4, /set seconds 2min."""

from mtchat.core.settings import named
from mtchat.errors import UsageError
from mtchat.repl.desk import Desk
from mtchat.synthesis import policy

USAGE = "[NAME VALUE]"


def do(desk: Desk, argument: str) -> None:
    name, _, value = argument.strip().partition(" ")
    name = named(name)
    if name and value.strip():
        if name == "policy":
            policy.load(value.strip())
        desk.settings = desk.settings.with_text(name, value)
        desk.view.line(f"{name} is {desk.settings.text(name)}")
        return
    rows = [row for row in desk.settings.rows() if not name or row[0] == name]
    if not rows:
        raise UsageError(f"no setting {name!r}; /set lists them")
    for setting, current, meaning in rows:
        desk.view.line(f"  {setting:<12} {current:<9} {meaning}")


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(name, meaning) for name, _, meaning in desk.settings.rows()]
