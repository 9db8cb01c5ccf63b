"""What the user can do about a run that was stopped, or that asked for what it was not given."""

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from mtchat.generate.execute import excused, failed
from mtchat.session.outcome import Outcome
from mtchat.session.reason import GIVEN, Reason, installs
from mtchat.session.settings import BOUNDS, Settings, show

SETTING = {
    Reason.SECONDS: "seconds",
    Reason.CPU: "seconds",
    Reason.MEMORY: "memory_mib",
    Reason.DISK: "disk_mib",
    Reason.OUTPUT: "output_kib",
}
LONGEST = 60  # signs of a module's name that is told


@dataclass(frozen=True)
class HintTexts:
    """How a place is told what to do: `say` names a setting with a value that allows more, `keyboard` is said
    of missing input, `attach` is the way to give files, `arguments` the way to give words; `folder` is where
    the user's modules may lie, `python` what runs mtchat."""

    say: Callable[[str, str], str]
    keyboard: str
    attach: str
    arguments: str
    folder: Path = Path()
    python: str = sys.executable


def remedy(outcome: Outcome, settings: Settings, ways: HintTexts) -> str:
    """What to do, "" where there is nothing to say."""
    kept = outcome.missing
    if kept == Reason.INPUT:
        return ways.keyboard
    if kept == Reason.FILE:
        return f"{ways.attach} FILE gives it a copy"
    if kept == Reason.ARGUMENTS:
        some = "others" if outcome.subject == GIVEN else "some"
        return f"give it {some}, as in: {ways.arguments}"
    if kept == Reason.PACKAGE:
        return package(outcome.subject, ways)
    if outcome.reason is Reason.PROCESSES:
        return "that limit is fixed"
    name = SETTING.get(outcome.reason)
    if name is None:
        return ""
    now, most = getattr(settings, name), BOUNDS[name][1]
    return ways.say(name, show(min(2 * now, most))) if now < most else ""


def package(module: str, ways: HintTexts) -> str:
    """How to get a module: the user's own is attached, another installed where mtchat runs.

    The name is a program's or a session file's word, so it is a name of Python or nothing is said.
    """
    module = module.partition(".")[0]
    if not module.isidentifier() or len(module) > LONGEST:
        return ""
    for name in (f"{module}.py", module):
        if os.path.exists(ways.folder / name) and (ways.folder / name).resolve() != Path(sys.prefix):
            return f"{ways.attach} {name} gives it yours"
    if editable := elsewhere(module):
        where = f"it is installed from {editable}, which programs do not see"
        return f"{where}; {ways.attach} {editable} gives a copy"
    if module in sys.stdlib_module_names:
        return f"{module} is a part of Python that this Python was built without"
    return f"{installer(ways.python)} {installs(module)} installs it"


def elsewhere(module: str) -> str:
    """Where a module lies that is installed as editable, among the user's own files.

    It is one name: to find a part of a package, Python would run the package here, with no sandbox around it.
    """
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return ""
    path = Path(spec.origin)
    return shlex.quote(str(path.parent if path.name == "__init__.py" else path))


def installer(python: str) -> str:
    """The command that adds packages to the environment of a Python."""
    if PathFinder.find_spec("pip") is None:  # setuptools answers other finders with a warning
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def typed(name: str, value: str) -> str:
    return f"/set {name} {value} allows more"


def flagged(name: str, value: str) -> str:
    return f"--{name.replace('_', '-')} {value} allows more"


def hint_in_repl(outcome: Outcome, settings: Settings, stdin: str = "") -> str:
    """What to type at the prompt; `stdin` is the file that stood for the keyboard."""
    keyboard = f"{stdin} came to its end" if stdin else "/run lets you type it, /run < FILE gives it some"
    return remedy(outcome, settings, HintTexts(typed, keyboard, "/attach", "/run 3 4"))


def hint_in_shell(
    outcome: Outcome, settings: Settings, fed: bool = False, name: str = "SESSION", folder: Path | None = None
) -> str:
    """What to add to the command line; `fed` says that the run had keyboard input, `name` is what was run,
    `folder` where its file lies."""
    keyboard = "the input came to its end" if fed else f"mtchat run {name} < FILE gives it some"
    arguments = f"mtchat run {name} 3 4"
    return remedy(
        outcome,
        settings,
        HintTexts(flagged, keyboard, "--attach", arguments, folder if folder is not None else Path()),
    )


def next_step(outcome: Outcome, turns: int) -> str:
    """What to do about a program of so many turns that goes wrong."""
    if excused(outcome) and outcome.missing == Reason.INPUT:
        where = f"turn {outcome.turn or turns}"
        return f"{where} waits for the keyboard: what you type at /run is given to the runs after it, too"
    if excused(outcome):
        return "the code stays as it was written: what it asks for is not here"
    failing = outcome.turn or turns
    ways = "/explain says why in plain words, /fix asks the model to mend it"
    return f"turn {failing} is what fails: {ways}" if failing < turns and failed(outcome) else ways
