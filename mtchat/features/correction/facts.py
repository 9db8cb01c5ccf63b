"""What an instruction can refer to in each turn: functions, names, literals, output."""

import ast
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from mtchat.session.names import bound_names, parse_module
from mtchat.session.turn import Turn

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
KINDS: dict[str, tuple[type[ast.AST], ...]] = {
    "function": (ast.FunctionDef, ast.AsyncFunctionDef),
    "class": (ast.ClassDef,),
    "loop": (ast.For, ast.While),
    "comprehension": (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    "condition": (ast.If, ast.IfExp),
    "list": (ast.List, ast.ListComp),
    "dictionary": (ast.Dict, ast.DictComp),
    "dict": (ast.Dict, ast.DictComp),
    "set": (ast.Set, ast.SetComp),
    "tuple": (ast.Tuple,),
    "lambda": (ast.Lambda,),
}
WORD = re.compile(r"[A-Za-z_]\w*")


@lru_cache(maxsize=1024)
def nodes_of(code: str) -> tuple[ast.AST, ...]:
    """The nodes of some code; none where it does not parse. Each turn of a long session is read once."""
    module = parse_module(code)
    try:
        return tuple(ast.walk(module)) if module else ()
    except RecursionError:
        return ()


@lru_cache(maxsize=4096)
def functions_of(code: str) -> frozenset[str]:
    """The names of the functions that some code defines, at any level."""
    return frozenset(each.name for each in nodes_of(code) if isinstance(each, FUNCTIONS))


@lru_cache(maxsize=4096)
def classes_of(code: str) -> frozenset[str]:
    """The names of the classes that some code defines, at any level."""
    return frozenset(each.name for each in nodes_of(code) if isinstance(each, ast.ClassDef))


@dataclass(frozen=True)
class TurnFacts:
    """A turn with code; `number` counts from 1 along the path."""

    number: int
    turn: Turn

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return nodes_of(self.turn.chunk)

    @cached_property
    def functions(self) -> frozenset[str]:
        return functions_of(self.turn.chunk)

    @cached_property
    def classes(self) -> frozenset[str]:
        return classes_of(self.turn.chunk)

    @property
    def defines(self) -> frozenset[str]:
        return self.functions | self.classes

    @cached_property
    def binds(self) -> frozenset[str]:
        return bound_names(self.turn.chunk)

    @cached_property
    def spells(self) -> frozenset[str]:
        """Every identifier in the code, parameters and attributes included."""
        return frozenset(WORD.findall(self.turn.chunk)).difference(keyword.kwlist)

    @cached_property
    def calls(self) -> frozenset[str]:
        return frozenset(
            each.func.id
            for each in self.nodes
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)
        )

    @cached_property
    def loads(self) -> frozenset[str]:
        """Names that the code reads."""
        return frozenset(
            each.id for each in self.nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
        )

    @property
    def prints(self) -> bool:
        return "print" in self.calls

    @cached_property
    def literals(self) -> frozenset[str]:
        """Numbers and strings of the code, as text."""
        values = (each.value for each in self.nodes if isinstance(each, ast.Constant))
        return frozenset(
            str(value).strip().lower() for value in values if isinstance(value, int | float | str)
        )

    @cached_property
    def constants(self) -> frozenset[str]:
        """Names that are assigned a literal."""
        return frozenset(
            target.id
            for each in self.nodes
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)
            for target in each.targets
            if isinstance(target, ast.Name)
        )

    @cached_property
    def nouns(self) -> frozenset[str]:
        """Word stems of the instruction, of the names in the code and of its texts."""
        words = WORD.findall(self.turn.instruction.lower())
        texts = [word for text in self.literals for word in WORD.findall(text)]
        parts = [part for name in self.spells for part in name.lower().split("_") if part]
        return frozenset(stem(word) for word in (*words, *texts, *parts))

    def hints(self, noun: str) -> bool:
        """Whether the turn is about such a thing, judging by its words and its function names."""
        own = stem(noun)
        named = any(part.lower().startswith(own) for name in self.defines for part in name.split("_"))
        return own in self.nouns or (len(own) >= 4 and named)

    def has(self, kind: str) -> bool:
        return any(isinstance(each, KINDS[kind]) for each in self.nodes)


def turn_facts(path: Sequence[Turn]) -> tuple[TurnFacts, ...]:
    """The turns of a path that have code, in order."""
    return tuple(TurnFacts(number, turn) for number, turn in enumerate(path, start=1) if turn.chunk.strip())


def stem(word: str) -> str:
    """A word without its grammatical ending."""
    word = word.lower()
    for ending in ("ings", "ing", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def name_candidates(words: Sequence[str]) -> tuple[str, ...]:
    """The words, and each two or three consecutive ones joined into a name: tax_rate."""
    several = ("_".join(words[at : at + count]) for count in (2, 3) for at in range(len(words) - count + 1))
    return (*several, *words)
