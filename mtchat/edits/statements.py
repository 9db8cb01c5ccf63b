"""Puts statements in the place of others; every other statement and comment stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from mtchat.edits.library import cst
from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import BrokenCodeError, CodeTree, parse_tree

INDENT = "    "


@dataclass(frozen=True)
class Statement:
    """One statement of a block: the characters from `start`, with its decorators, up to `end`."""

    node: cst.CSTNode
    start: int
    end: int

    @property
    def is_compound(self) -> bool:
        """Whether it needs a line for itself, as `if`, `def` and `class` do."""
        return isinstance(self.node, cst.BaseCompoundStatement)


@dataclass(frozen=True)
class LogicalLine:
    """Statements that semicolons join, with the comment beside the last; `past` is where that ends."""

    statements: Sequence[Statement]
    comment: str
    past: int


@dataclass(frozen=True, eq=False)
class StatementBlock:
    """The statements of a module, or of the body of one of its classes."""

    tree: CodeTree
    owner: cst.CSTNode

    @cached_property
    def lines(self) -> Sequence[LogicalLine]:
        suite = self.owner if isinstance(self.owner, cst.Module) else getattr(self.owner, "body", self.owner)
        inner: Sequence[cst.CSTNode] = getattr(suite, "body", ())
        if isinstance(suite, cst.SimpleStatementSuite):
            return [self.line(inner, suite)]  # `class A: x = 1; y = 2`
        return [
            self.line(each.body if isinstance(each, cst.SimpleStatementLine) else [each], each)
            for each in inner
        ]

    @cached_property
    def statements(self) -> Sequence[Statement]:
        return [each for line in self.lines for each in line.statements]

    @cached_property
    def is_one_line(self) -> bool:
        """Whether the block stands beside its head, as in `class A: x = 1; y = 2`."""
        return isinstance(getattr(self.owner, "body", None), cst.SimpleStatementSuite)

    @cached_property
    def indent(self) -> str:
        """What stands before each line of the block, or would."""
        if isinstance(self.owner, cst.Module) or not self.statements:
            return ""
        first = self.statements[0].start
        return INDENT if self.is_one_line else self.tree.code[line_start(self.tree.code, first) : first]

    def line(self, nodes: Sequence[cst.CSTNode], around: cst.CSTNode) -> LogicalLine:
        statements = [self.statement(node) for node in nodes]
        trailing = trailing_of(around)
        comment = self.tree.text(trailing.comment) if trailing and trailing.comment else ""
        past = statements[-1].end
        for each in (getattr(nodes[-1], "semicolon", None), getattr(trailing, "whitespace", None)):
            if isinstance(each, cst.Semicolon | cst.SimpleWhitespace):
                past = max(past, self.tree.span(each).end)
        past = max(past, self.tree.span(trailing.comment).end) if trailing and trailing.comment else past
        return LogicalLine(statements, comment, past)

    def statement(self, node: cst.CSTNode) -> Statement:
        span = self.tree.span(node)
        decorators = getattr(node, "decorators", ())
        return Statement(node, self.tree.span(decorators[0]).start if decorators else span.start, span.end)

    def text(self, at: int) -> str:
        """One statement, with the comment beside it where no other is on its line."""
        known = self.statements[at]
        line = next(each for each in self.lines if known in each.statements)
        comment = f"  {line.comment}" if line.comment and len(line.statements) == 1 else ""
        return self.tree.code[known.start : known.end] + comment

    def inner(self, at: int) -> StatementBlock:
        """The body of the class that a statement is."""
        return StatementBlock(self.tree, self.statements[at].node)

    def additions(self, texts: Sequence[str]) -> Iterator[TextEdit]:
        """The edit that adds definitions at the end of a block, each after a blank line."""
        if not texts:
            return
        start, end = self.statements[0].start, self.lines[-1].past
        if self.is_one_line:
            head = len(self.tree.code[:start].rstrip(" \t\f\\"))
            yield TextEdit(head, start, f"\n{self.indent}")
        yield TextEdit(end, end, "".join(f"\n\n{self.indent}{text}" for text in texts))

    def replacements(self, changes: Mapping[int, Sequence[str]]) -> Iterator[TextEdit]:
        """The edits that put texts in the place of some statements; none takes one away.

        A comment that is alone beside a statement goes with it, unless a simple one takes the place of a
        simple one and brings none.
        """
        place = 0
        for line in self.lines:
            count = len(line.statements)
            here = {at: changes[place + at] for at in range(count) if place + at in changes}
            if here:
                yield rewrite_line(self, line, here)
            place += count


def read_statements(code: str) -> StatementBlock:
    """The statements of the top level of some code; BrokenCodeError if it is not Python."""
    tree = parse_tree(code)
    try:
        block = StatementBlock(tree, tree.module)
        assert len(block.statements) >= 0
    except RecursionError as error:
        raise BrokenCodeError("the code is nested too deeply to be edited") from error
    return block


def replace_statements(code: str, changes: Mapping[int, Sequence[str]]) -> str:
    """The code with texts in place of some statements of its top level, counted from 0."""
    return apply_edits(code, read_statements(code).replacements(changes))


def keep_statements(code: str, kept: Sequence[int]) -> str:
    """The code less the statements of its top level that are not kept."""
    block = read_statements(code)
    gone = {at: () for at in range(len(block.statements)) if at not in kept}
    return apply_edits(code, block.replacements(gone))


def rewrite_line(block: StatementBlock, line: LogicalLine, changes: Mapping[int, Sequence[str]]) -> TextEdit:
    """The edit of statements that semicolons join, `changes` by their place in the line."""
    code, statements = block.tree.code, line.statements
    start, end = statements[0].start, statements[-1].end
    gaps = [code[left.end : right.start] for left, right in pairwise(statements)]
    parts = list[tuple[str, str]]()  # what is before each text, and the text
    last = -1
    for at, each in enumerate(statements):
        for text in changes.get(at, (code[each.start : each.end],)):
            beside = at > 0 and last == at - 1
            parts.append((gaps[at - 1] if beside else "; ", text))
            last = at
    texts = [text for _, text in parts]
    if not texts and (len(statements) == 1 or not line.comment):
        return TextEdit(line_start(code, start), line_end(code, line.past), "")
    if not texts:
        return TextEdit(start, line.past, line.comment)
    plain = all(map(is_plain, texts))
    if plain and (len(statements) > 1 or (len(texts) == 1 and not statements[0].is_compound)):
        return TextEdit(start, end, "".join([texts[0], *(gap + text for gap, text in parts[1:])]))
    comment = [line.comment] if line.comment and len(statements) > 1 else []
    return TextEdit(start, line.past, f"\n{block.indent}".join([*texts, *comment]))


def is_plain(text: str) -> bool:
    """Whether a text is one statement that can share its line with others."""
    try:
        block = read_statements(text)
    except BrokenCodeError:
        return False
    return len(block.statements) == 1 and not block.statements[0].is_compound and not block.lines[0].comment


def shift_indent(code: str, start: int, end: int, old: str, new: str) -> str:
    """A stretch of code with another indentation; lines within strings stay as they are."""
    inside = inside_strings(parse_tree(code))
    edits = list[TextEdit]()
    place = line_end(code, start)
    while place < end:
        if code.startswith(old, place) and place not in inside:
            edits.append(TextEdit(place, place + len(old), new))
        place = line_end(code, place)
    return apply_edits(code, edits, start, end)


def fixed_lines(code: str) -> frozenset[int]:
    """The lines, from 0, that begin inside of a string, so that another indentation would change its value.

    The code may be a block that is indented; none if it cannot be read. Docstrings may be indented.
    """
    head = "if True:\n" if code[:1] in (" ", "\t") else ""
    try:
        tree = parse_tree(head + code)
        places = inside_strings(tree, docstrings=False)
    except (BrokenCodeError, RecursionError):
        return frozenset()
    return frozenset(tree.code.count("\n", len(head), place) for place in places)


def inside_strings(tree: CodeTree, docstrings: bool = True) -> frozenset[int]:
    """Where lines begin that are inside of strings."""
    found = set[int]()
    for each in strings_below(tree.module):
        if docstrings or not isinstance(tree.parents.get(id(each)), cst.Expr):
            span = tree.span(each)
            place = line_end(tree.code, span.start)
            while span.start < place < span.end:
                found.add(place)
                place = line_end(tree.code, place)
    return frozenset(found)


def strings_below(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The strings of a tree, those of formats whole."""
    if isinstance(node, cst.SimpleString | cst.FormattedString):
        yield node
        return
    for each in node.children:
        yield from strings_below(each)


def trailing_of(node: cst.CSTNode) -> cst.TrailingWhitespace | None:
    """What follows the last statement of a line or block on its line."""
    trailing = getattr(node, "trailing_whitespace", None)
    if isinstance(trailing, cst.TrailingWhitespace):
        return trailing
    for each in reversed(node.children):
        found = None if isinstance(each, cst.BaseExpression | cst.TrailingWhitespace) else trailing_of(each)
        if found is not None:
            return found
    return None


def line_start(code: str, place: int) -> int:
    return max(code.rfind("\n", 0, place), code.rfind("\r", 0, place)) + 1


def line_end(code: str, place: int) -> int:
    """Where the line after this place begins."""
    ends = [at for at in (code.find("\n", place), code.find("\r", place)) if at >= 0]
    if not ends:
        return len(code)
    return min(ends) + (2 if code.startswith("\r\n", min(ends)) else 1)
