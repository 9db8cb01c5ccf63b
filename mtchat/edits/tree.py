"""Code as a concrete syntax tree, with the place of each node in the text.

LibCST reads the grammar of every Python from 3.0 to 3.14, whichever runs mtchat, f-strings included. It drops
a few characters that mean nothing to Python (form feeds, a byte order mark), so edits are never made on its
output but on the text itself, at the places that are found here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from mtchat.edits.library import cst, metadata
from mtchat.errors import MtchatError
from mtchat.session.names import parse_module

DROPPED = "\x0c\ufeff\r\n \t\\"  # what LibCST may leave out
TAB = 8  # columns, to Python
DEEPEST = 200  # nodes within each other: LibCST's parser ends the process on deeper code
LONGEST_LINE = 1_000  # characters of a statement that only LibCST can read, so that its depth is not known
MOST_BRANCHES = 100  # `elif`s in such code, each of which is within the one before


class BrokenCodeError(MtchatError):
    """Code that cannot be read as Python, so that no edit of it is safe."""


@dataclass(frozen=True)
class Span:
    """The characters of a node: from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class CodeTree:
    """Code and its concrete syntax tree; of a text whose characters are from `origin`, if that is given."""

    code: str
    module: cst.Module
    origin: Sequence[int] = ()

    @cached_property
    def places(self) -> Mapping[cst.CSTNode, metadata.CodeSpan]:
        wrapper = metadata.MetadataWrapper(self.module, unsafe_skip_copy=True)
        found: Mapping[cst.CSTNode, metadata.CodeSpan] = wrapper.resolve(metadata.ByteSpanPositionProvider)
        return found

    @cached_property
    def parents(self) -> Mapping[int, cst.CSTNode]:
        """By the id of a node: the node around it."""
        return {id(each): node for node in walk(self.module) for each in node.children}

    @cached_property
    def characters(self) -> Sequence[int]:
        """By each byte of what LibCST writes: the character of the code that it is of."""
        written = self.module.code
        if written == self.code and written.isascii():
            return range(len(written) + 1)
        found, place = list[int](), 0
        origin = self.origin or range(len(self.code))
        for sign in written:
            while place < len(origin) and not self.stands_for(sign, self.code[origin[place]]):
                if self.code[origin[place]] not in DROPPED:
                    raise BrokenCodeError("the code cannot be edited safely: its text could not be matched")
                place += 1
            found += [origin[place]] * len(sign.encode())
            place += 1
        return [*found, len(self.code)]

    def stands_for(self, sign: str, written: str) -> bool:
        """Whether a character of the tree's text is one of the code, or a blank of one of its tabs."""
        return sign == written or bool(self.origin and sign == " " and written == "\t")

    def span(self, node: cst.CSTNode) -> Span:
        """The place of a node, without comments above it or parentheses around it; a tuple has its own."""
        if isinstance(node, cst.Tuple) and node.lpar:
            return Span(self.span(node.lpar[-1]).start, self.span(node.rpar[0]).end)
        place = self.places[node]
        if not place.length:
            start = self.characters[place.start - 1] + 1 if place.start else 0
            return Span(start, start)
        last = place.start + place.length - 1
        return Span(self.characters[place.start], self.characters[last] + 1)

    def text(self, node: cst.CSTNode) -> str:
        place = self.span(node)
        return self.code[place.start : place.end]

    def line_of(self, node: cst.CSTNode) -> int:
        """The line that a node begins on, from 1."""
        return self.code.count("\n", 0, self.span(node).start) + 1


@lru_cache(maxsize=32)
def parse_tree(code: str) -> CodeTree:
    """The tree of some code; BrokenCodeError if it is not Python, or is nested too deeply."""
    module = parse_module(code)
    if module is None and not looks_shallow(code):
        raise BrokenCodeError("the code is not valid Python; correct it first")
    if module is not None and is_deep(module):
        raise BrokenCodeError("the code is nested too deeply to be edited; take it apart first")
    try:
        return CodeTree(code, cst.parse_module(code))
    except cst.ParserSyntaxError as error:
        if module is not None and "\t" in code:
            return parse_with_blanks(code)
        where = f"the code has a syntax error in line {error.raw_line}; correct it first"
        raise BrokenCodeError(where) from error
    except (UnicodeEncodeError, RecursionError) as error:
        raise BrokenCodeError("the code has characters that are not text, or is nested too deeply") from error


def parse_with_blanks(code: str) -> CodeTree:
    """The tree of code that LibCST reads only with blanks for the tabs that lines begin with."""
    text, origin = list[str](), list[int]()
    column, leading = 0, True
    for place, sign in enumerate(code):
        width = TAB - column % TAB if leading and sign == "\t" else 1
        text.append(" " * width if width > 1 or (leading and sign == "\t") else sign)
        origin += [place] * width
        leading = sign in "\r\n" or (leading and sign in " \t\f")
        column = 0 if sign in "\r\n\f" else column + width
    try:
        return CodeTree(code, cst.parse_module("".join(text)), origin)
    except cst.ParserSyntaxError as error:
        raise BrokenCodeError("the code mixes tabs and blanks in a way that cannot be edited") from error


def is_deep(module: ast.Module) -> bool:
    """Whether nodes are nested more deeply than LibCST can read."""
    layer = list[ast.AST]([module])
    for _ in range(DEEPEST):
        layer = [below for node in layer for below in ast.iter_child_nodes(node)]
        if not layer:
            return False
    return True


def looks_shallow(code: str) -> bool:
    """Whether code that this Python does not read, perhaps because it is of a later one, can be tried."""
    depth = length = 0
    continued = False
    for line in code.splitlines():
        length = length + len(line) if depth > 0 or continued else len(line)
        if length > LONGEST_LINE:
            return False
        depth += sum((sign in "([{") - (sign in ")]}") for sign in line)
        continued = line.endswith("\\")
    return len(re.findall(r"^\s*elif\b", code, re.MULTILINE)) <= MOST_BRANCHES


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """A node and all nodes below it, in no certain order."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += each.children


def can_edit(code: str) -> bool:
    """Whether the code can be read, and so edited."""
    try:
        parse_tree(code)
    except BrokenCodeError:
        return False
    return True
