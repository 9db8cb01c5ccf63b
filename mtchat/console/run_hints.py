"""Hints after a run: what the user can do about a limit, missing input, files, arguments or packages."""

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from mtchat.generate.execute import excused, failed
from mtchat.session.outcome import GIVEN, Outcome, Reason, package_for
from mtchat.session.settings import BOUNDS, Settings, format_value

SETTING = {
    Reason.SECONDS: "seconds",
    Reason.CPU: "seconds",
    Reason.MEMORY: "memory_mib",
    Reason.DISK: "disk_mib",
    Reason.OUTPUT: "output_kib",
}
LONGEST = 60  # characters of a module name that is shown


@dataclass(frozen=True)
class HintTexts:
    """How hints are worded at the prompt or in a shell.

    `raise_limit(name, value)` says how to raise a limit, `keyboard` is said about missing input, `attach`
    and `arguments` are how to give files and arguments; `folder` is where the user's modules may lie,
    `python` is what runs mtchat.
    """

    raise_limit: Callable[[str, str], str]
    keyboard: str
    attach: str
    arguments: str
    folder: Path = Path()
    python: str = sys.executable


def suggest_fix(outcome: Outcome, settings: Settings, texts: HintTexts) -> str:
    """What to do; "" if there is nothing to suggest."""
    missing = outcome.missing
    if missing == Reason.INPUT:
        return texts.keyboard
    if missing == Reason.FILE:
        return f"{texts.attach} FILE gives the program a copy"
    if missing == Reason.ARGUMENTS:
        some = "other arguments" if outcome.subject == GIVEN else "arguments"
        return f"give it {some}, for example: {texts.arguments}"
    if missing == Reason.PACKAGE:
        return suggest_package(outcome.subject, texts)
    if outcome.reason is Reason.PROCESSES:
        return "that limit is fixed"
    name = SETTING.get(outcome.reason)
    if name is None:
        return ""
    now, most = getattr(settings, name), BOUNDS[name][1]
    return texts.raise_limit(name, format_value(min(2 * now, most))) if now < most else ""


def suggest_package(module: str, texts: HintTexts) -> str:
    """How to get a module: attach the user's own, install any other where mtchat runs.

    The name comes from a program or a session file, so anything but a Python name is ignored.
    """
    module = module.partition(".")[0]
    if not module.isidentifier() or len(module) > LONGEST:
        return ""
    for name in (f"{module}.py", module):
        if os.path.exists(texts.folder / name) and (texts.folder / name).resolve() != Path(sys.prefix):
            return f"{texts.attach} {name} gives the program a copy of yours"
    if editable := editable_source(module):
        where = f"it is installed from {editable}, which programs cannot see"
        return f"{where}; {texts.attach} {editable} gives the program a copy"
    if module in sys.stdlib_module_names:
        return f"this Python was built without its module {module}"
    return f"install it with {install_command(texts.python)} {package_for(module)}"


def editable_source(module: str) -> str:
    """Where a module lies that is installed as editable, among the user's own files.

    Only top-level names: to find a submodule, Python would run its package here, outside the sandbox.
    """
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return ""
    path = Path(spec.origin)
    return shlex.quote(str(path.parent if path.name == "__init__.py" else path))


def install_command(python: str) -> str:
    """The command that installs packages into the environment of a Python."""
    if PathFinder.find_spec("pip") is None:  # setuptools makes other finders warn
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def set_limit(name: str, value: str) -> str:
    return f"/set {name} {value} raises the limit"


def limit_option(name: str, value: str) -> str:
    return f"--{name.replace('_', '-')} {value} raises the limit"


def hint_in_repl(outcome: Outcome, settings: Settings, stdin: str = "") -> str:
    """What to type at the prompt; `stdin` is the file that replaced the keyboard."""
    keyboard = (
        f"{stdin} ended too early" if stdin else "/run lets you type it, /run < FILE reads it from a file"
    )
    return suggest_fix(outcome, settings, HintTexts(set_limit, keyboard, "/attach", "/run 3 4"))


def hint_in_shell(
    outcome: Outcome,
    settings: Settings,
    has_input: bool = False,
    name: str = "SESSION",
    folder: Path | None = None,
) -> str:
    """What to add to the command line.

    `has_input`: the run had keyboard input. `name` is what was run, `folder` the folder of its file.
    """
    keyboard = "the input ended too early" if has_input else f"mtchat run {name} < FILE reads it from a file"
    arguments = f"mtchat run {name} 3 4"
    return suggest_fix(
        outcome,
        settings,
        HintTexts(limit_option, keyboard, "--attach", arguments, folder if folder is not None else Path()),
    )


def next_step(outcome: Outcome, turns: int) -> str:
    """What to do about a program with `turns` turns that fails."""
    if excused(outcome) and outcome.missing == Reason.INPUT:
        where = f"turn {outcome.turn or turns}"
        return f"{where} reads from the keyboard: what you type at /run is reused by later runs"
    if excused(outcome):
        return "the code is kept: it needs something that is not available here"
    failing = outcome.turn or turns
    ways = "/explain says why in plain words, /fix asks the model to repair it"
    return f"turn {failing} fails: {ways}" if failing < turns and failed(outcome) else ways
