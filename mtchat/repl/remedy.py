"""What the user can do about a run that was stopped, or that asked for what it was not given."""

from collections.abc import Callable

from mtchat.core.outcome import Outcome
from mtchat.core.settings import BOUNDS, PROCESSES, Settings, show

SETTING = {
    "seconds": "seconds",
    "cpu": "seconds",
    "memory": "memory_mib",
    "disk": "disk_mib",
    "output": "output_kib",
}
NO_KEYBOARD, NO_FILES = "(the sandbox has no keyboard input)", "(the sandbox has none of your files)"

Say = Callable[[str, str], str]


def remedy(outcome: Outcome, settings: Settings, say: Say, keyboard: str, attach: str) -> str:
    """What to do, "" where there is nothing to say: `say` names a setting with a value that allows more,
    `keyboard` is said of missing input, and `attach` is the way to give files."""
    if outcome.error.endswith(NO_KEYBOARD):
        return keyboard
    if outcome.error.endswith(NO_FILES):
        return f"{attach} gives it a copy"
    if outcome.limit == "processes":
        return f"a run may have {PROCESSES} processes and threads; that bound is fixed"
    name = SETTING.get(outcome.limit)
    if name is None:
        return ""
    now, most = getattr(settings, name), BOUNDS[name][1]
    return say(name, show(min(2 * now, most))) if now < most else ""


def typed(name: str, value: str) -> str:
    return f"/set {name} {value} allows more"


def flagged(name: str, value: str) -> str:
    return f"--{name.replace('_', '-')} {value} allows more"


def in_repl(outcome: Outcome, settings: Settings, stdin: str = "") -> str:
    """What to type at the prompt; `stdin` is the file that stood for the keyboard."""
    keyboard = f"{stdin} came to its end" if stdin else "/run < FILE gives it some"
    return remedy(outcome, settings, typed, keyboard, "/attach FILE")


def in_shell(outcome: Outcome, settings: Settings, fed: bool = False) -> str:
    """What to add to the command line; `fed` says that the run had keyboard input."""
    keyboard = "the input came to its end" if fed else "mtchat run SESSION < FILE gives it some"
    return remedy(outcome, settings, flagged, keyboard, "--attach FILE")
