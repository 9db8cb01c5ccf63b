"""The package as a graph, read from its source: files, what each imports, and the circles among them."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import mtchat

HOUSE = Path(mtchat.__file__).parent
Graph = Mapping[str, set[str]]


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each file, by its path below the package."""
    return {
        path.relative_to(HOUSE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(HOUSE.rglob("*.py"))
    }


@cache
def files_of_modules() -> dict[str, str]:
    """The file of each module, by its dotted name."""
    dotted = {file: file.removesuffix(".py").replace("/", ".") for file in trees()}
    return {f"mtchat.{name}".removesuffix(".__init__"): file for file, name in dotted.items()}


@cache
def imports() -> Graph:
    """The files that each file imports; imports under TYPE_CHECKING and inside functions count too."""
    return {file: set(imported_files(tree)) - {file} for file, tree in trees().items()}


def imported_files(tree: ast.Module) -> Iterator[str]:
    files = files_of_modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (files[alias.name] for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in files or node.module in files:
                    yield files.get(name) or files[node.module]


def within(folder: str) -> Graph:
    """The arrows inside a folder, where each of its sub-folders is one node."""
    start = f"{folder}/"

    def node(file: str) -> str:
        return start + file.removeprefix(start).split("/")[0] if file.startswith(start) else ""

    graph: dict[str, set[str]] = {}
    for file, imported in imports().items():
        if node(file):
            targets = {node(each) for each in imported} - {"", node(file)}
            graph.setdefault(node(file), set()).update(targets)
    return graph


def folders() -> list[str]:
    return sorted({Path(file).parent.as_posix() for file in trees()} - {"."})


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other: the strongly connected components of two nodes or more."""
    reach = {node: reachable(graph, node) for node in graph}
    groups = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    pending = [start]
    while pending:
        node = pending.pop()
        new = graph.get(node, set()) - seen
        seen |= new
        pending.extend(new)
    return seen
