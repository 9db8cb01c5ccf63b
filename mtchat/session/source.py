"""Code with the exact place of each statement, and edits that leave every other byte as it is."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mtchat.session.names import parse_module

LINE_END = re.compile(r"\r\n|\r|\n")
LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")
CONTINUED = rb"[ \t\f]|\\(?:\r\n|\r|\n)"
BETWEEN = re.compile(rb"(?:" + CONTINUED + rb"|;|[\r\n]|#[^\r\n]*)*+")  # what is between two statements
JOINED = re.compile(rb"(?:" + CONTINUED + rb")*+;(?:" + CONTINUED + rb")*+")  # what is between two of a line
TAIL = re.compile(rb"(?:" + CONTINUED + rb"|;)*+(?P<comment>#[^\r\n]*)?")  # what is after the last of a line
COMPOUND = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While),
    *(ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match),
)


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


@dataclass(frozen=True)
class Stretch:
    """One statement of a top level: the bytes from `start`, with its decorators, up to `end`."""

    node: ast.stmt
    start: int
    end: int


def replace_statements(code: str, body: Sequence[ast.stmt], changes: Mapping[int, Sequence[str]]) -> str:
    """The code with texts in place of some statements of its top level; none takes one away.

    Every other statement and comment stays as it is, also on the same line. A comment that is alone beside a
    statement goes with it, unless a simple one takes the place of a simple one and brings none.
    """
    source = SourceText(code)
    edits, place = [], 0
    for line in logical_lines(source, body):
        here = {at: changes[place + at] for at in range(len(line)) if place + at in changes}
        if here:
            edits.append(rewrite_line(source, line, here))
        place += len(line)
    return source.apply_edits(0, len(source.data), edits)


def keep_statements(code: str, body: Sequence[ast.stmt], kept: Sequence[ast.stmt]) -> str:
    """The code less the statements of its top level that are not kept."""
    stays = {id(each) for each in kept}
    return replace_statements(code, body, {at: () for at, each in enumerate(body) if id(each) not in stays})


def text_of(code: str, body: Sequence[ast.stmt], node: ast.stmt) -> str:
    """One statement of a top level, with the comment beside it where no other is on its line."""
    source = SourceText(code)
    for line in logical_lines(source, body):
        for each in line:
            if each.node is node:
                comment = tail_of(source, each) if len(line) == 1 else ""
                return source.text(each.start, each.end) + (f"  {comment}" if comment else "")
    raise AssertionError("the statement is not of this code")


def logical_lines(source: SourceText, body: Sequence[ast.stmt]) -> Iterator[list[Stretch]]:
    """The statements, those that semicolons join together."""
    line: list[Stretch] = []
    place = 0
    for node in body:
        blank = BETWEEN.match(source.data, place)
        start = blank.end() if blank else place
        if line and JOINED.fullmatch(source.data, place, start) is None:
            yield line
            line = []
        place = source.end(node)
        line.append(Stretch(node, start, place))
    if line:
        yield line


def tail_of(source: SourceText, last: Stretch) -> str:
    """The comment beside the last statement of a line."""
    match = TAIL.match(source.data, last.end)
    return match["comment"].decode("utf-8", "surrogatepass") if match and match["comment"] else ""


def rewrite_line(source: SourceText, line: Sequence[Stretch], changes: Mapping[int, Sequence[str]]) -> Edit:
    """The edit of statements that semicolons join, `changes` by their place in the line."""
    data, end = source.data, line[-1].end
    comment, match = tail_of(source, line[-1]), TAIL.match(source.data, end)
    past = match.end() if match else end
    texts, gaps, last = list[str](), list[str](), -1
    for at, each in enumerate(line):
        for text in changes.get(at, (source.text(each.start, each.end),)):
            beside = last == at - 1 >= 0
            gaps.append(source.text(line[last].end, each.start) if beside else "; ")
            texts.append(text)
            last = at
    if not texts and (len(line) == 1 or not comment):
        return Edit(line_start(data, line[0].start), line_end(data, past), "")
    if not texts:
        return Edit(line[0].start, past, comment)
    lone = len(line) == 1
    if lone and (isinstance(line[0].node, COMPOUND) or len(texts) > 1 or not all(map(is_plain, texts))):
        return Edit(line[0].start, past, "\n".join(texts))
    if all(map(is_plain, texts)):
        gaps[0] = ""
        return Edit(line[0].start, end, "".join(gap + text for gap, text in zip(gaps, texts, strict=True)))
    return Edit(line[0].start, past, "\n".join([*texts, *([comment] if comment else [])]))


def is_plain(text: str) -> bool:
    """Whether a text is one statement that can share its line with others."""
    module = parse_module(text)
    if module is None or len(module.body) != 1 or isinstance(module.body[0], COMPOUND):
        return False
    source = SourceText(text)
    return not any(tail_of(source, line[-1]) for line in logical_lines(source, module.body))


def line_start(data: bytes, place: int) -> int:
    return max(data.rfind(b"\n", 0, place), data.rfind(b"\r", 0, place)) + 1


def line_end(data: bytes, place: int) -> int:
    match = LINE_END_BYTES.search(data, place)
    return match.end() if match else len(data)
