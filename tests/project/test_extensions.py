"""The open folders: each file keeps the contract of its folder, and a file dropped in is found as it is."""

import importlib
import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest

import mtchat
from mtchat import plugins
from mtchat.bench.quality.suite import COMPLETION, MULTI, SINGLE, Suite
from mtchat.bench.speed.engine import Peer
from mtchat.console import slash
from mtchat.console.console import Console
from mtchat.console.slash import Command
from mtchat.errors import UsageError
from mtchat.export.format import Format
from mtchat.generate.prompt.family import Family
from mtchat.sandbox.backend import Backend
from mtchat.session.session import Session

HOUSE = Path(mtchat.__file__).parent
CLOSED = {
    "mtchat.generate.judge",
    "mtchat.bench.speed.gpu",
    *("mtchat.bench.quality", "mtchat.bench.speed", "mtchat.inference.loaders", "mtchat.inference.cpu"),
    *("mtchat.inference.cuda", "mtchat.inference.cuda.kernels", "mtchat.inference.tokens"),
    *("mtchat.inference.hf", "mtchat.inference.llama_cpp"),
    *(
        "mtchat.features.context",
        "mtchat.features.own_code",
        "mtchat.features.checks",
        "mtchat.features.correction",
    ),
    *(
        "mtchat.features.regenerate",
        "mtchat.features.infill",
        "mtchat.features.explain",
        "mtchat.features.rework",
        "mtchat.features.understand",
    ),
    "mtchat.conversation",
    "mtchat.generate.prompt",
    *("mtchat.sandbox.host", "mtchat.sandbox.guest", "mtchat.sandbox.policy", "mtchat.sandbox.checkpoints"),
    *(f"mtchat.sandbox.guest.{name}" for name in ("launch", "program", "fork", "patches")),
}


def signature(function: Callable[..., object]) -> list[tuple[str, object]]:
    """The names and types of what a function takes."""
    hints = get_type_hints(function)
    return [(name, hints.get(name)) for name in inspect.signature(function).parameters if name != "self"]


def methods(contract: type) -> dict[str, Callable[..., object]]:
    return {
        name: each
        for name, each in vars(contract).items()
        if inspect.isfunction(each) and not name.startswith("_")
    }


def keeps(module: ModuleType, contract: type) -> None:
    """Holds a file to the functions of a Protocol: the same names, and they take the same."""
    for name, wanted in methods(contract).items():
        assert signature(getattr(module, name)) == signature(wanted), f"{module.__name__}.{name}"


def is_family(module: ModuleType) -> None:
    keeps(module, Family)
    for name, wanted in methods(Family).items():
        assert get_type_hints(getattr(module, name))["return"] == get_type_hints(wanted)["return"]


def is_backend(module: ModuleType) -> None:
    keeps(module, Backend)
    assert isinstance(module.RANK, int)
    assert module.RANK >= 1


def is_format(module: ModuleType) -> None:
    assert module.SUFFIX.startswith(".") or module.SUFFIX == ""  # that of the language
    assert [kind for _, kind in signature(module.write)] == [Session]
    assert get_type_hints(module.write)["return"] is str
    if hasattr(module, "read"):
        assert [kind for _, kind in signature(module.read)] == [str]
        assert get_type_hints(module.read)["return"] is Session


def is_command(module: ModuleType) -> None:
    assert module.COMMANDS
    assert all(isinstance(command, Command) for command in module.COMMANDS)


def is_peer(module: ModuleType) -> None:
    keeps(module, Peer)
    assert module.TITLE.replace(".", "_") == module.__name__.rsplit(".", 1)[-1]
    assert module.MOST >= 1


def is_suite(module: ModuleType) -> None:
    keeps(module, Suite)
    for name, wanted in methods(Suite).items():
        assert get_type_hints(getattr(module, name))["return"] == get_type_hints(wanted)["return"]
    assert module.TITLE
    assert Path(module.DATA).name == module.DATA
    assert set(module.MODES) <= {MULTI, SINGLE, COMPLETION}
    assert module.MODES


CONTRACTS = {
    "mtchat.generate.prompt.families": is_family,
    "mtchat.sandbox.backends": is_backend,
    "mtchat.export.formats": is_format,
    "mtchat.console.commands": is_command,
    "mtchat.bench.quality.suites": is_suite,
    "mtchat.bench.speed.peers": is_peer,
}
EXTENSIONS = [(package, name) for package in CONTRACTS for name in plugins.names(package)]


def test_packages_from_outside_are_held_to_the_same_contracts_as_our_own_files():
    families, formats, backends = (
        plugins.GROUPS[f"mtchat.{kind}"] for kind in ("families", "formats", "backends")
    )
    assert set(families.functions) == set(methods(Family))
    assert set(backends.functions) == set(methods(Backend))
    described = set(Format.__dataclass_fields__) - {"name", "help", "suffix"}
    assert {*formats.functions, *formats.optional} == described


def test_every_open_folder_has_its_contract_here():
    folders = {
        ".".join(["mtchat", *path.parent.relative_to(HOUSE).parts])
        for path in HOUSE.glob("*/*/**/__init__.py")
    }
    assert folders - CLOSED == set(CONTRACTS)


@pytest.mark.parametrize("command", slash.commands(), ids=lambda each: each.name)
def test_a_command_takes_a_console_and_its_help_begins_with_one_sentence(command: Command):
    assert signature(command.do) == [("console", Console), ("argument", str)]
    assert get_type_hints(command.do)["return"] is type(None)
    if command.complete is not None:
        assert [kind for _, kind in signature(command.complete)] == [Console]
    first, _, rest = command.help.partition("\n")
    assert first == command.meaning
    assert first.endswith(".")
    assert rest == "" or rest.startswith("\n"), (
        f"the first sentence of /{command.name} is longer than its line"
    )


def test_no_two_commands_have_one_name():
    tables = [importlib.import_module(module).COMMANDS for module in slash.modules()]
    found = [command.name for table in tables for command in table]
    assert sorted(found) == sorted(set(found))
    assert {"undo", "check", "recap"} <= set(found)


@pytest.mark.parametrize("package", CONTRACTS)
def test_an_open_folder_is_not_empty_and_says_what_it_holds(package: str):
    assert plugins.names(package)
    folder = sys.modules.get(package) or __import__(package, fromlist=["_"])
    assert plugins.summary(folder)


@pytest.mark.parametrize(("package", "name"), EXTENSIONS, ids=lambda text: text.rsplit(".", 1)[-1])
def test_an_extension_keeps_the_contract_of_its_folder(package: str, name: str):
    CONTRACTS[package](plugins.load(package, name))


@pytest.mark.parametrize(("package", "name"), EXTENSIONS, ids=lambda text: text.rsplit(".", 1)[-1])
def test_the_first_line_of_an_extension_is_its_help_in_one_sentence(package: str, name: str):
    module = plugins.load(package, name)
    first, _, rest = (module.__doc__ or "").strip().partition("\n")
    assert first == plugins.summary(module)
    assert first.endswith(".")
    assert first[0].isupper()
    assert rest == "" or rest.startswith("\n"), f"the first sentence of {name} is longer than its line"


@pytest.mark.parametrize("package", CONTRACTS)
def test_an_unknown_extension_is_refused_by_a_list_of_the_known_ones(package: str):
    with pytest.raises(UsageError) as refusal:
        plugins.load(package, "nothing_of_the_kind")
    assert all(name in str(refusal.value) for name in plugins.names(package))


@pytest.mark.parametrize("name", ["__init__", "_hidden", "../core", "os.path", ""])
def test_only_what_is_listed_can_be_loaded(name: str):
    with pytest.raises(UsageError):
        plugins.load("mtchat.generate.prompt.families", name)


ASKS = """
import mtchat
from mtchat import plugins
from mtchat.bench.speed.engine import Peer
from mtchat.session.prompt import ModelCard
from mtchat.generate.prompt import family
from mtchat.console import slash
from mtchat.sandbox import backend

print(mtchat.__file__)
for package in {packages!r}:
    print(package, plugins.summary(plugins.load(package, "hello")))
print(family.choose(ModelCard("any", "HelloForCausalLM", chat=True)))
print(len(backend.backends()))
print([each.meaning for each in slash.commands() if each.name == "hello"])
"""


HELLO = '''"""Says hello."""

from mtchat.console.slash import Command
from mtchat.console.console import Console


def do_hello(console: Console, argument: str) -> None:
    """Says hello."""
    console.view.say("hello")


COMMANDS = (Command("hello", do_hello),)
'''


@pytest.mark.slow
def test_a_file_dropped_into_an_open_folder_is_found_and_nothing_else_is_edited(tmp_path: Path):
    copy = tmp_path / "mtchat"
    shutil.copytree(HOUSE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for package in CONTRACTS:
        folder = copy.joinpath(*package.split(".")[1:])
        like = folder / f"{plugins.names(package)[0]}.py"
        text = like.read_text(encoding="utf-8").partition('"""\n')[2]
        (folder / "hello.py").write_text(f'"""Says hello."""\n{text}', encoding="utf-8")
    with open(copy / "generate" / "prompt" / "families" / "hello.py", "a", encoding="utf-8") as file:
        file.write('\n\ndef matches(card: ModelCard) -> bool:\n    return "Hello" in card.architecture\n')

    (copy / "console" / "commands" / "hello.py").write_text(HELLO, encoding="utf-8")

    asks = ASKS.format(packages=tuple(CONTRACTS))
    done = subprocess.run(
        [sys.executable, "-c", asks], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(copy / "__init__.py")
    count = len(CONTRACTS)
    assert lines[1 : 1 + count] == [f"{package} Says hello." for package in CONTRACTS]
    family, backends, commands = lines[1 + count :]
    assert family == "hello"
    assert int(backends) == 1 + len(plugins.names("mtchat.sandbox.backends"))
    assert "Says hello." in commands
