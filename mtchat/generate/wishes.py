"""What an instruction asks for that can be seen without understanding it: names, output, functions."""

import ast
import re
from collections.abc import Iterator

from mtchat.session.names import bound, tree
from mtchat.session.outcome import Outcome

NAME = r"""["'`]?(?P<name>[A-Za-z_]\w*)["'`]?"""
NAMED = re.compile(
    rf"""\b(?:(?:variables?|lists?|arrays?|functions?|dictionary|dict|dataframe|set|tuple|as)
        \s+(?:(?:named?|called)\s+)?(?P<quote>["'`])(?P<quoted>[A-Za-z_]\w*)(?P=quote)
      | \b(?:named|called|name\s+it|call\s+it)\s+(?:(?:a|the)\s+)?(?:variable\s+)?{NAME}
      )""",
    re.VERBOSE | re.IGNORECASE,
)
STORED = re.compile(
    r"""\b(?:stor|sav|assign|put|keep|nam)\w*\b[^.;"]*?\b(?:as|to|in|into|it)\s+
        (?:(?:a|the)\s+)?(?:(?:new\s+)?(?:variable|list|dictionary|array)\s+)?(?:named\s+|called\s+)?
        (?:"(?P<double>[A-Za-z_]\w*)"|'(?P<single>[A-Za-z_]\w*)'|(?P<bare>[A-Za-z]\w*(?:_\w+|\d)))(?![\w'"])""",
    re.VERBOSE | re.IGNORECASE,
)
PRINTS = re.compile(r"^\W*(?:then\s+|and\s+|finally\s+)?(?:print|show|display|output)\b", re.IGNORECASE)
SPEAKS = re.compile(r"\b(?:print|show|display|output|return|tell)", re.IGNORECASE)
FUNCTION = re.compile(
    r"\b(?:implement|define|write|create|make|add)\s+(?:a|an|the|another)?\s*(?:\w+\s+){0,2}?function\b",
    re.IGNORECASE,
)
WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?![\w(])")
EXAMPLE = re.compile(r"\bE\.g\..*", re.IGNORECASE | re.DOTALL)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
ARTICLES = {"a", "A", "I", "i"}
FILLERS = {"a", "an", "the", "it", "and", "as", "that", "which", "with", "to", "of", "by", "for", "is", "in"}


def unmet(instruction: str, chunk: str, program: str, outcome: Outcome | None) -> tuple[str, ...]:
    """What a turn was seen to be asked for and has not done; `program` ends with its chunk."""
    return tuple(misses(instruction, chunk, program, outcome))


def misses(instruction: str, chunk: str, program: str, outcome: Outcome | None) -> Iterator[str]:
    there = bound(program)
    function = FUNCTION.search(instruction)
    for name in names(instruction):
        if name not in there:
            yield f"does not bind {name}"
    for name in unused(instruction, chunk, there):
        yield f"does not use {name}"
    if function and not defines(chunk):
        yield "defines no function"
    said = outcome is not None and outcome.ok and bool(outcome.outputs) and bool(outcome.outputs[-1].strip())
    if PRINTS.search(instruction) and not function and outcome is not None and not said:
        yield "prints nothing"
    if said and not SPEAKS.search(instruction):
        yield "prints what was not asked for"


def names(instruction: str) -> tuple[str, ...]:
    """The names that an instruction gives to something, as far as its words show it."""
    found = [match["quoted"] or match["name"] for match in NAMED.finditer(instruction)] + [
        match["double"] or match["single"] or match["bare"] for match in STORED.finditer(instruction)
    ]
    return tuple(dict.fromkeys(name for name in found if name.isidentifier() and name.lower() not in FILLERS))


def unused(instruction: str, chunk: str, known: frozenset[str]) -> list[str]:
    """Names of the program that an instruction has as words, and the code not at all."""
    words = dict.fromkeys(WORD.findall(EXAMPLE.sub("", instruction)))
    used = set(IDENTIFIER.findall(chunk))
    return [each for each in words if each in known - used and each not in ARTICLES]


def defines(chunk: str) -> bool:
    """Whether a chunk has a function, in whatever form."""
    module = tree(chunk)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    return module is not None and any(isinstance(node, kinds) for node in ast.walk(module))
