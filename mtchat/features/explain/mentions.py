"""Finds what a text mentions of a program: its names, library calls, texts in its code, turns and errors.

The words of the text are compared with the program's own, so the text may be in any language: case, endings,
spelling, and how the words of a name are joined do not matter. No word of a human language is known here.
"""

import ast
import builtins
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property

from mtchat.session.names import bound_names, parse_module, unparse
from mtchat.session.session import Session

LONGEST_TEXT = 2000  # characters that are compared
MOST_MENTIONS = 4
SURE, POSSIBLE = 0.75, 0.45  # strengths: a name as a whole, and a part of one
SHORTEST_STEM = 4  # letters that two words with different endings share
LEAST_STEM = 0.6  # of the longer word
LONGEST_ENDING = 3
SHORTEST_MISSPELT = 5
ALIKE = 0.84  # the least ratio of a misspelt name
MOST_LITERAL_WORDS = 4
VOWELS = frozenset("aeiouy")  # letters that are words of many human languages
WORD = re.compile(r"[A-Za-z0-9_\u00c0-\u024f\u0370-\u052f]+|[^\W\u0000-\u052f]+")
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
ERRORS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
)


class MentionKind(StrEnum):
    """What a mention is about."""

    NAME = "name"  # that the program defines or imports
    MEMBER = "member"  # a method, an attribute or an input that the program defines
    CALL = "call"  # of something that the program did not define
    LITERAL = "literal"  # a text in the code
    TURN = "turn"
    ERROR = "error"


@dataclass(frozen=True)
class Mention:
    """Something of the program that a text mentions, and how surely, from 0 to 1.

    `name` is as the program spells it; for a call it is the whole expression, such as "np.polyfit".
    """

    kind: MentionKind
    name: str
    strength: float


@dataclass(frozen=True)
class ProgramWords:
    """The code of a session by turn, and the words in it that a text can mention."""

    session: Session

    @cached_property
    def modules(self) -> Mapping[int, ast.Module]:
        """The turns that are valid Python, by their numbers."""
        parsed = {number: parse_module(turn.chunk) for number, turn in enumerate(self.session.path, start=1)}
        return {number: module for number, module in parsed.items() if module is not None}

    @cached_property
    def nodes(self) -> tuple[tuple[int, ast.AST], ...]:
        """Every node of the program with its turn."""
        return tuple((turn, node) for turn, module in self.modules.items() for node in walk(module))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(frozenset[str]().union(*(bound_names(turn.chunk) for turn in self.session.path))))

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Methods, attributes that the program sets, and inputs of its functions."""
        found: dict[str, None] = {}
        for _, node in self.nodes:
            match node:
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                    found[name] = None
                case ast.arg(name) | ast.Attribute(_, name, ast.Store()):
                    found[name] = None
        return tuple(name for name in found if name not in self.names and name != "self")

    @cached_property
    def calls(self) -> Mapping[str, str]:
        """Called expressions such as "np.polyfit" by their last name, if the program does not define it."""
        known = {*self.names, *self.members}
        found: dict[str, str] = {}
        for _, node in self.nodes:
            match node:
                case ast.Call(ast.Attribute(_, name) as called) if name not in known:
                    found.setdefault(name, unparse(called))
                case ast.Call(ast.Name(name)) if name not in known | ERRORS:
                    found.setdefault(name, name)
        return found

    @cached_property
    def literals(self) -> tuple[str, ...]:
        """The short texts in the code, but not those between the values of an f-string."""
        between = {
            id(part) for _, node in self.nodes if isinstance(node, ast.JoinedStr) for part in node.values
        }
        texts = {
            node.value
            for _, node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in between
        }
        return tuple(sorted(text for text in texts if 0 < len(WORD.findall(text)) <= MOST_LITERAL_WORDS))

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The numbers in the code of at least two signs; shorter ones are everywhere."""
        values = (node.value for _, node in self.nodes if isinstance(node, ast.Constant))
        return frozenset(
            str(value) for value in values if type(value) in (int, float) and len(str(value)) > 1
        )


def walk(module: ast.Module) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(module)
    except RecursionError:
        return


def find_mentions(program: ProgramWords, text: str) -> tuple[Mention, ...]:
    """What a text mentions, the surest first; parts of names count only if nothing whole is mentioned."""
    text = unicodedata.normalize("NFC", text[:LONGEST_TEXT])
    words = WORD.findall(text)
    found = sorted(all_mentions(program, text, words), key=lambda each: -each.strength)
    best = {each.name: each for each in reversed(found)}
    kept = sorted(best.values(), key=lambda each: -each.strength)
    least = SURE if kept and kept[0].strength >= SURE else POSSIBLE
    most = MOST_MENTIONS if least == SURE else 2
    return tuple([each for each in kept if each.strength >= least][:most])


def all_mentions(program: ProgramWords, text: str, words: Sequence[str]) -> Iterator[Mention]:
    spelt = {*program.names, *program.members, *program.calls}
    other = [word.lower() for word in words if word not in spelt]
    calls = [
        Mention(MentionKind.CALL, called, certainty_of_call(name, called, text, strength(name, words, other)))
        for name, called in program.calls.items()
    ]
    yield from calls
    roots = {each.name.partition(".")[0] for each in calls if each.name in text}
    for name in program.names:
        if name not in roots or f"{name}." not in text:
            yield Mention(MentionKind.NAME, name, strength(name, words, other))
    for name in program.members:
        yield Mention(MentionKind.MEMBER, name, strength(name, words, other))
    for literal in program.literals:
        if mentions_phrase(literal, words):
            yield Mention(MentionKind.LITERAL, literal, 0.9 if len(literal) > 1 else POSSIBLE)
        elif len(literal) >= SHORTEST_STEM and any(same_word(literal.lower(), word) for word in other):
            yield Mention(MentionKind.LITERAL, literal, 0.8)
    for number in program.numbers.intersection(NUMBER.findall(text)):
        yield Mention(MentionKind.LITERAL, number, 0.8)
    for word in words:
        if word in ERRORS:
            yield Mention(MentionKind.ERROR, word, 1.0)
    for turn in mentioned_turns(program, words):
        yield Mention(MentionKind.TURN, str(turn), 0.8)


def certainty_of_call(name: str, called: str, text: str, found: float) -> float:
    """The strength of the mention of a call; a builtin such as `sum` may be a mere word of the text."""
    if ("." in called and called in text) or f"{name}(" in text or f"`{name}`" in text:
        return 1.0
    return min(found, 0.7) if hasattr(builtins, called) else found


def strength(name: str, words: Sequence[str], other: Sequence[str]) -> float:
    """How surely some words mention a name; `other` are those that are no name as they stand, lowered."""
    if len(name) == 1:
        return (POSSIBLE if name.lower() in VOWELS else 0.8) if name in words else 0.0
    if name in words:
        return 1.0
    parts = pieces(name)
    if not parts:
        return 0.0
    if mentions_phrase("".join(parts), words, most=len(parts)):
        return 0.95
    if all(any(same_word(part, word) for word in other) for part in parts):
        return 0.9 if len(parts) > 1 or len(parts[0]) >= SHORTEST_STEM else 0.8
    if any(is_misspelt(name.lower(), word) for word in other):
        return 0.8
    share = sum(
        len(part)
        for part in parts
        if len(part) >= SHORTEST_STEM and any(same_word(part, word) for word in other)
    )
    return 0.3 + 0.4 * share / sum(map(len, parts)) if share else 0.0


def pieces(name: str) -> list[str]:
    """The words that a name is made of, in lower case: word_counts and WordCounts are word and counts."""
    return [piece.lower() for piece in PIECE.findall(name)]


def mentions_phrase(phrase: str, words: Sequence[str], most: int = MOST_LITERAL_WORDS) -> bool:
    """Whether consecutive words, put together, are a phrase but for case and what is between its words."""
    wanted = "".join(WORD.findall(phrase)).replace("_", "").lower()
    folded = [word.replace("_", "").lower() for word in words]
    return any(
        "".join(folded[at : at + count]) == wanted
        for at in range(len(folded))
        for count in range(1, most + 1)
    )


def same_word(part: str, word: str) -> bool:
    """Whether two words are the same but for their endings."""
    short, long = sorted((part, word), key=len)
    if long in (short, f"{short}s"):
        return True
    shared = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return shared >= max(SHORTEST_STEM, LEAST_STEM * len(long)) and len(long) - shared <= LONGEST_ENDING


def is_misspelt(name: str, word: str) -> bool:
    if min(len(name), len(word)) < SHORTEST_MISSPELT or abs(len(name) - len(word)) > 2:
        return False
    return SequenceMatcher(None, name, word).ratio() >= ALIKE


def mentioned_turns(program: ProgramWords, words: Sequence[str]) -> Iterator[int]:
    """Numbers of turns that stand next to a word which is none of the program's: "turn 2", "第2步"."""
    count = len(program.session.path)
    known = {*program.names, *program.members, *program.calls}
    for at, word in enumerate(words):
        if not (word.isascii() and word.isdecimal()) or not 1 <= int(word[:9]) <= count:
            continue
        before = words[at - 1] if at else ""
        if (len(before) >= SHORTEST_STEM - 1 or not before.isascii()) and before not in known:
            yield int(word)


def names_in(texts: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    """Those names that occur as whole words in some code."""
    found = {word for text in texts for word in WORD.findall(text)}
    return frozenset(name for name in names if name in found)
