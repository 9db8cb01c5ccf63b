"""The lines of code as Python counts them, and the places of its statements in the text."""

import ast
import re
from dataclasses import dataclass
from functools import cached_property

from mtchat.session.names import parse_module

LINE_END = re.compile(r"\r\n|\r|\n")


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
class SourceText:
    """Code with the character at which each of its lines begins; `ast` counts bytes within a line."""

    code: str

    @cached_property
    def lines(self) -> tuple[int, ...]:
        return (0, *(match.end() for match in LINE_END.finditer(self.code)))

    def place(self, line: int, column: int) -> int:
        start = self.lines[line - 1]
        if self.code.isascii():
            return start + column
        before = self.code[start : start + column].encode("utf-8", "surrogatepass")[:column]
        return start + len(before.decode("utf-8", "surrogatepass"))

    def start(self, node: ast.stmt) -> int:
        """Where a statement without decorators begins."""
        return self.place(node.lineno, node.col_offset)

    def end(self, node: ast.stmt) -> int:
        """Where a statement ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.place(node.end_lineno, node.end_col_offset)
