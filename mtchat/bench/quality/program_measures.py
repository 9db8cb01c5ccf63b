"""Measures the program that a conversation ends with: is it one that a person would keep?"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mtchat.generate.judge.lint import find_faults
from mtchat.session.names import parse_module, unparse

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


@dataclass(frozen=True)
class ProgramMeasures:
    """A program in numbers, without the preamble of its benchmark.

    `repeated` counts the statements of the module that stand there twice, without calls, which may have an
    effect each time; `dead` the names that are bound again before their first value is used. `faults` are the
    kinds of pyflakes' messages. `turns` and `with_code` count turns and those with statements, `lines` the
    lines with code, and `reference_lines` those of the data's own solution, 0 if it has none.
    """

    repeated: int = 0
    dead: int = 0
    faults: tuple[str, ...] = ()
    turns: int = 0
    with_code: int = 0
    lines: int = 0
    reference_lines: int = 0


def measure_program(program: str, chunks: Sequence[str], reference: str = "") -> ProgramMeasures:
    """The measures of a program that ends with some chunks; what precedes them is not measured."""
    module = parse_module("\n".join(chunks))
    first = next((chunk for chunk in chunks if chunk.strip()), "")
    before = program[: max(program.find(first), 0)].count("\n")
    return ProgramMeasures(
        repeated=count_repeated(module) if module else 0,
        dead=count_dead(module) if module else 0,
        faults=tuple(find_faults(program, before)),
        turns=len(chunks),
        with_code=sum(map(has_statements, chunks)),
        lines=count_lines("\n".join(chunks)),
        reference_lines=count_lines(reference),
    )


def has_statements(chunk: str) -> bool:
    """Whether a chunk has code: statements, or text that is no Python."""
    module = parse_module(chunk)
    return bool(chunk.strip()) if module is None else bool(module.body)


def count_lines(code: str) -> int:
    """The lines with more than a comment."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in code.splitlines())


def count_repeated(module: ast.Module) -> int:
    """The statements of a module that an earlier one says word for word.

    Calls, which may do something each time, are left out, and so are additions to a value.
    """
    texts = [
        unparse(node) for node in module.body if not isinstance(node, ast.Expr | ast.AugAssign | ast.Pass)
    ]
    return len(texts) - len(set(texts))


def count_dead(module: ast.Module) -> int:
    """The names of a module that a statement binds, and another binds again before anything reads them.

    What functions read counts as read as soon as any call follows.
    """
    scan = DeadScan()
    for node in module.body:
        scan.visit(node)
    return scan.dead


@dataclass
class DeadScan:
    """How far a module is read: the names whose value is not used yet, and those that functions read."""

    unused: set[str] = field(default_factory=set)
    in_functions: set[str] = field(default_factory=set)
    dead: int = 0

    def visit(self, node: ast.stmt) -> None:
        if isinstance(node, DEFINITIONS):
            self.in_functions |= names_read([node])
            outside = [*node.decorator_list, *getattr(node, "bases", ())]
            self.read(outside if not isinstance(node, ast.ClassDef) else [node])
            self.bind(node.name)
            return
        self.read([node])
        if isinstance(node, BLOCKS):
            self.unused -= set(names_bound(node))  # perhaps bound again, perhaps not
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if len(targets) == 1 and isinstance(targets[0], ast.Name):
                self.bind(targets[0].id)
            else:
                self.unused -= set(names_bound(node))

    def read(self, nodes: Sequence[ast.AST]) -> None:
        self.unused -= names_read(nodes)
        if any(isinstance(each, ast.Call) for node in nodes for each in ast.walk(node)):
            self.unused -= self.in_functions
        for node in nodes:
            for each in ast.walk(node):
                if isinstance(each, ast.Lambda):
                    self.in_functions |= names_read([each])

    def bind(self, name: str) -> None:
        self.dead += name in self.unused
        self.unused.add(name)


def names_read(nodes: Sequence[ast.AST]) -> set[str]:
    """The names that some nodes read anywhere, also where an addition reads what it changes."""
    found = set()
    for each in (inner for node in nodes for inner in ast.walk(node)):
        match each:
            case ast.Name(name, ast.Load() | ast.Del()) | ast.AugAssign(ast.Name(name)):
                found.add(name)
    return found


def names_bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds anywhere."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, DEFINITIONS):
            yield each.name
