"""Code with the exact place of each statement, and edits that leave every other byte as it is."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mtchat.session.names import parse_module

LINE_END = re.compile(r"\r\n|\r|\n")
LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")


def split_lines(code: str) -> list[str]:
    """The lines of some code without their ends, split where Python's tokenizer does, and nowhere else.

    Form feeds, U+2028 and the like end a line for `str.splitlines`, but not in a program.
    """
    return LINE_END.split(code)


def reads_keyboard(code: str) -> bool:
    """Whether a program reads from the keyboard, as far as its code shows it."""
    module = parse_module(code)
    for node in ast.walk(module) if module else ():
        match node:
            case ast.Name("input") | ast.Attribute(_, "stdin") | ast.alias("stdin") | ast.alias("getpass"):
                return True
    return False


@dataclass(frozen=True)
class Edit:
    """Bytes of a source, from `start` up to `end`, that something else stands for."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class SourceText:
    """Code with the byte at which each of its lines begins."""

    code: str

    @cached_property
    def data(self) -> bytes:
        return self.code.encode("utf-8", "surrogatepass")

    @cached_property
    def lines(self) -> tuple[int, ...]:
        return (0, *(match.end() for match in LINE_END_BYTES.finditer(self.data)))

    def start(self, node: ast.stmt | ast.expr) -> int:
        """Where a node begins, its decorators included."""
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = decorators[0] if decorators else node
        place = self.lines[first.lineno - 1] + first.col_offset
        return self.data.rindex(b"@", 0, place) if decorators else place

    def end(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, start: int, end: int) -> str:
        return self.data[start:end].decode("utf-8", "surrogatepass")

    def apply_edits(self, start: int, end: int, edits: Sequence[Edit]) -> str:
        """A stretch of the code with its edits made, which are in the order of the text."""
        parts, place = [], start
        for edit in edits:
            parts += [self.text(place, edit.start), edit.text]
            place = edit.end
        return "".join([*parts, self.text(place, end)])
