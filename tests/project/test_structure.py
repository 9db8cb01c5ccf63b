"""The shape of the package and of its tests: no circles, and one meaning for each name."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests import ROOT
from tests.support.package_graph import circles, folders, imports, trees, within


def test_the_watch_for_circles_sees_one() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set[str]()}
    assert circles(graph) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set[str]()}) == []


def test_no_file_imports_another_in_a_circle_not_even_for_its_types() -> None:
    found = circles(imports())
    assert not found, "\n".join(" <-> ".join(circle) for circle in found)


@pytest.mark.parametrize("folder", folders())
def test_the_sub_folders_of_a_folder_point_one_way(folder: str) -> None:
    assert circles(within(folder)) == []


def classes_and_types(tree: ast.Module) -> Iterator[str]:
    """The classes of a module, and its capitalised aliases of types."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            name = node.targets[0].id
            if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name):
                yield name


def test_a_class_has_its_name_to_itself() -> None:
    places = defaultdict(list)
    for file, tree in trees().items():
        for name in classes_and_types(tree):
            places[name].append(file)
    shared = {name: files for name, files in places.items() if len(files) > 1}
    assert not shared


def retired() -> dict[str, str]:
    """The names that the glossary retires, each with the one that is used now."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    section = text.partition("\n## Retired names\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)
    return {name: now for old, now in rows for name in re.findall(r"`(\w+)`", old)}


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that the code of a module uses or defines, with its line."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield getattr(node, "lineno", 0), value


def test_retired_names_are_gone() -> None:
    names = retired()
    assert len(names) > 20, "docs/glossary.md lists the retired names"
    found = [
        f"mtchat/{file}:{line}: {name} is now {names[name]}"
        for file, tree in trees().items()
        for line, name in identifiers(tree)
        if name in names
    ]
    assert not found, "\n".join(found)


def test_no_test_imports_another_test() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if re.match(r"tests\.(\w+\.)*test_\w+", f"{node.module}.{alias.name}")
    }
    assert not found, f"move what tests share to tests/support: {sorted(found)}"
