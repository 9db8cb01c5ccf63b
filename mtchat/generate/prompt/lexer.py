"""A lexer for strings and comments of languages other than Python, line by line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from mtchat.session.language import Language


@dataclass(frozen=True)
class TokenSpan:
    r"""A string or comment: `opens` and `closes` are patterns; `closes` may use \1 of `opens`.

    `escapes`: a backslash escapes the next character. `nests`: it may contain others of its kind.
    `line`: it must close on its line, else it does not count. `later`: its content begins on the next
    line, as in a here-document.
    """

    opens: str
    closes: str
    escapes: bool = False
    nests: bool = False
    line: bool = False
    later: bool = False


@dataclass(frozen=True)
class LexerState:
    """The state at the end of a line: the open span, its closing pattern and depth, and what begins next."""

    span: TokenSpan | None = None
    closes: str = ""
    depth: int = 0
    later: tuple[tuple[TokenSpan, str], ...] = ()

    @property
    def open(self) -> bool:
        return self.span is not None or bool(self.later)


START = LexerState()
LONGEST = 4_000  # characters of a line that are read
BLOCK = TokenSpan(r"/\*", r"\*/")
NESTED = TokenSpan(r"/\*", r"\*/", nests=True)
SHORT = (  # an apostrophe in a word opens nothing
    TokenSpan(r'"', r'"', escapes=True, line=True),
    TokenSpan(r"(?<!\w)'", "'", escapes=True, line=True),
)
LONG = (TokenSpan(r'"', r'"', escapes=True), TokenSpan(r"(?<!\w)'", "'", escapes=True))
TEXT = TokenSpan(r'"""', r'"""', escapes=True)
RAW_TEXT = TokenSpan(r'("{3,})', r"\1")
TEMPLATE = TokenSpan("`", "`", escapes=True)
CHARACTER = TokenSpan(r"'(?=(?:\\.|[^\\'])')", r"'", escapes=True, line=True)
HERE = TokenSpan(
    r"""(?<!<)<<[-~]?[ \t]*(?P<q>["']?)\\?([A-Za-z_]\w*)(?P=q)""", r"^[ \t]*\2[ \t]*$", later=True
)
HERE_RUBY = TokenSpan(
    r"""<<(?:[-~](?P<q>["'`]?)|(?P<r>["'`])|(?=[A-Z_]))(\w+)(?:(?P=q)|(?P=r)|)""", r"^[ \t]*\3$", later=True
)


def to_end(sign: str) -> TokenSpan:
    """A comment that goes to the end of its line."""
    return TokenSpan(sign, r"$", line=True)


HASH = to_end(r"(?:^|(?<=[\s;]))\#")
SLASHES = to_end("//")
DASHES = to_end("--")
C = (BLOCK, SLASHES, *SHORT)
SPANS: dict[str, Sequence[TokenSpan]] = {
    "javascript": (BLOCK, SLASHES, TEMPLATE, *SHORT),
    "typescript": (BLOCK, SLASHES, TEMPLATE, *SHORT),
    "java": (TEXT, *C),
    "c": C,
    "cpp": (TokenSpan(r'R"([^()\\\s]{0,16})\(', r'\)\1"'), *C),
    "csharp": (RAW_TEXT, TokenSpan(r'(?:@\$?|\$@)"', r'"(?!")'), *C),
    "go": (BLOCK, SLASHES, TokenSpan("`", "`"), *SHORT),
    "rust": (
        *(
            NESTED,
            SLASHES,
            TokenSpan(r'(?<![A-Za-z0-9_])b?r(\#*)"', r'"\1'),
            TokenSpan(r'"', r'"', escapes=True),
        ),
        CHARACTER,
    ),
    "kotlin": (TokenSpan('"""', '"""'), NESTED, SLASHES, *SHORT),
    "swift": (TokenSpan(r'(\#*)"""', r'"""\1', escapes=True), NESTED, SLASHES, SHORT[0]),
    "scala": (TokenSpan('"""', '"""'), NESTED, SLASHES, SHORT[0], CHARACTER),
    "bash": (
        HASH,
        HERE,
        LONG[0],
        TokenSpan(r"(?<!\w)\$'", "'", escapes=True),
        TokenSpan(r"(?<![\w\\])'", "'"),
    ),
    "ruby": (TokenSpan(r"^=begin\b", r"^=end\b"), HASH, HERE_RUBY, *LONG),
    "perl": (TokenSpan(r"^=[a-z]\w*", r"^=cut\b"), HASH, HERE_RUBY, *LONG),
    "r": (HASH, TokenSpan(r'(?<!\w)[rR]["\'](-*)\(', r'\)\1["\']'), *LONG),
    "julia": (TokenSpan(r"\#=", r"=\#", nests=True), HASH, TEXT, LONG[0], CHARACTER),
    "sql": (BLOCK, DASHES, TokenSpan(r"(?<!\w)'", "'")),
    "lua": (TokenSpan(r"--\[(=*)\[", r"\]\1\]"), DASHES, TokenSpan(r"\[(=*)\[", r"\]\1\]"), *SHORT),
    "haskell": (TokenSpan(r"\{-", r"-\}", nests=True), DASHES, SHORT[0], CHARACTER),
}


@cache
def openings(language: str) -> tuple[tuple[TokenSpan, re.Pattern[str]], ...]:
    return tuple((span, re.compile(span.opens)) for span in SPANS.get(language, ()))


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def masked(line: str, language: Language, state: LexerState) -> tuple[str, LexerState]:
    """A line of the same length with strings and comments masked by quotes, and the state at its end."""
    if state.span is None and state.later:
        (span, closes), *rest = state.later
        state = LexerState(span, closes, 1, tuple(rest))
    if len(line) > LONGEST:
        return line, state
    place, parts = 0, list[str]()
    while place < len(line):
        if state.span is None:
            place, state, text = opening(line, place, language, state)
        else:
            place, state, text = skip_inside(line, place, state)
        parts.append(text)
    if not line and state.span and compiled(state.closes).search(line):
        state = replace(state, span=None)
    return "".join(parts), state


def opening(line: str, place: int, language: Language, state: LexerState) -> tuple[int, LexerState, str]:
    """The text up to the next string or comment, and the match of its opening."""
    best: tuple[int, int] | None = None
    for number, (span, pattern) in enumerate(openings(language.name)):
        match = pattern.search(line, place)
        while match and span.line and closing(line, match.end(), span, closing_pattern(span, match)) < 0:
            match = pattern.search(line, match.end() + (match.end() == match.start()))
        if match and (best is None or match.start() < best[0]):
            best, found = (match.start(), number), (span, match)
    if best is None:
        return len(line), state, line[place:]
    span, match = found
    closes = closing_pattern(span, match)
    if span.later:
        later = (*state.later, (span, closes))
        return match.end(), replace(state, later=later), line[place : match.end()]
    text = line[place : match.start()] + '"' * (match.end() - match.start())
    return match.end(), replace(state, span=span, closes=closes, depth=1), text


def closing_pattern(span: TokenSpan, match: re.Match[str]) -> str:
    """The pattern that closes an open span."""
    return re.sub(r"\\([123])", lambda number: re.escape(match[int(number[1])] or ""), span.closes)


def closing(line: str, place: int, span: TokenSpan, closes: str) -> int:
    """Where a span that does not nest ends on a line; -1 if it does not.

    Three backticks in a string are text, even where one would end it.
    """
    pattern = compiled(rf"(?:\\.|`{{3,}}|(?!{closes})[^\\])*+(?:{closes})" if span.escapes else closes)
    match = pattern.match(line, place) if span.escapes else pattern.search(line, place)
    return match.end() if match else -1


def skip_inside(line: str, place: int, state: LexerState) -> tuple[int, LexerState, str]:
    """The text in an open span, up to its end or the end of the line."""
    span = state.span
    assert span is not None
    if span.nests:
        either = compiled(f"(?P<opens>{span.opens})|{state.closes}")
        match = either.search(line, place)
        if match is None:
            return len(line), state, '"' * (len(line) - place)
        depth = state.depth + (1 if match["opens"] else -1)
        after = replace(state, depth=depth) if depth else replace(state, span=None)
        return match.end(), after, '"' * (match.end() - place)
    end = closing(line, place, span, state.closes)
    if end < 0:
        return len(line), state, '"' * (len(line) - place)
    return end, replace(state, span=None), '"' * (end - place)
