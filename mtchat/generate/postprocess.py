"""Turns a completion into the chunk of a turn, and repairs it by rule where only one repair is possible.

The rules follow LlmFix (arXiv:2409.00676): indentation, a tail that was cut off, missing imports; also names
that an earlier turn spells differently, `return` outside of functions, and statements that repeat earlier
ones."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from textwrap import dedent

from pyflakes.checker import Annotation, Builtin, Checker, ModuleScope
from pyflakes.messages import UndefinedLocal, UndefinedName

from mtchat.edits.fold import drop_folded_copies
from mtchat.edits.mend import add_imports, print_returns, rename_unbound
from mtchat.edits.repeats import drop_repeats
from mtchat.generate.context import folded_codes
from mtchat.generate.prompt.family import Family
from mtchat.generate.prompt.program import drop_step_comments
from mtchat.session.names import bound_names, compiles, parse_module, parts_of
from mtchat.session.provenance import EVERYTHING, ContextPlan
from mtchat.session.session import Session


@lru_cache(maxsize=64)
def undefined_names(source: str) -> tuple[str, ...]:
    """Names that a program uses and never binds, in order of use; none if it does not parse."""
    return () if is_bound(source) else check_names(source)


def check_names(source: str) -> tuple[str, ...]:
    """The same, by reading the whole program."""
    checker = read_names(source)
    return name_errors(checker) if checker else ()


def is_bound(source: str) -> bool:
    """Whether each part of a program surely finds all its names in the parts before it.

    The parts are read once, so that a long program costs little more than its last turn.
    """
    known: set[str] = set()
    for part in parts_of(source):
        scope = scope_of(part)
        if scope is None or not scope.needs <= known:
            return False
        known |= scope.binds
    return True


@dataclass(frozen=True)
class PartScope:
    """The names that a part of a program needs from the parts before it, and those that it binds."""

    needs: frozenset[str]
    binds: frozenset[str]


@lru_cache(maxsize=4096)
def scope_of(part: str) -> PartScope | None:
    """The names of a part of a program; None where they depend on more than the names that it has."""
    checker = read_names(part)
    if checker is None or "__future__" in part or "__all__" in part:
        return None
    needs = frozenset(name_errors(checker))
    for node in ast.walk(checker.root):
        match node:
            case ast.Name(name, ast.Del() | ast.Store() as context):
                if isinstance(context, ast.Del) or name in needs:
                    return None
            case ast.alias("*"):
                return None
    scopes = (scope for scope in checker.deadScopes if isinstance(scope, ModuleScope))
    bindings = ((name, binding) for scope in scopes for name, binding in scope.items())
    binds = (name for name, binding in bindings if not isinstance(binding, Annotation | Builtin))
    return PartScope(needs, frozenset(binds))


def read_names(source: str) -> Checker | None:
    """The names of some code as pyflakes reads them; None where it does not parse."""
    module = parse_module(source)
    try:
        return Checker(module) if module is not None else None
    except RecursionError:
        return None


def name_errors(checker: Checker) -> tuple[str, ...]:
    """The names that pyflakes finds unbound, in the order of their use."""
    found = (each for each in checker.messages if isinstance(each, UndefinedName | UndefinedLocal))
    return tuple(dict.fromkeys(each.message_args[0] for each in found))


IMPORTS = {
    **{name: f"import {name}" for name in ("collections", "itertools", "functools", "math", "random", "re")},
    **{name: f"import {name}" for name in ("json", "os", "string", "statistics", "sys", "datetime", "time")},
    **{name: f"import {name}" for name in ("operator", "heapq", "bisect", "hashlib", "numpy", "pandas")},
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    **{
        name: f"from collections import {name}"
        for name in ("Counter", "defaultdict", "deque", "namedtuple", "OrderedDict")
    },
    **{
        name: f"from itertools import {name}"
        for name in ("accumulate", "combinations", "groupby", "permutations", "product")
    },
    **{name: f"from functools import {name}" for name in ("lru_cache", "partial", "reduce")},
    **{name: f"from math import {name}" for name in ("ceil", "factorial", "floor", "gcd", "log", "sqrt")},
    **{
        name: f"from typing import {name}"
        for name in ("Any", "Callable", "Dict", "Iterable", "List", "Optional", "Set", "Tuple", "Union")
    },
}
CLOSE_MATCH = 0.85  # the similarity, up to 1, from which on a name counts as a misspelling of another
SHORTEST_NAME = 4  # letters of the shortest name that is corrected


def postprocess(
    family: Family,
    text: str,
    base: Session,
    rules: bool,
    plan: ContextPlan = EVERYTHING,
    *,
    drops_repeats: bool = False,
    commented: Sequence[str] = (),
) -> str:
    """The chunk that a completion adds to a session, repaired by rule if `rules` is set.

    Comments of the model that repeat the instructions in `commented`, which its prompt showed as comments,
    are removed.

    Folded code from the prompt that the model repeats is not new code and is removed, and so is, with
    `drops_repeats`, what earlier code did already.
    """
    before = base.program.source
    code = drop_folded_copies(family.chunk(text, before), folded_codes(base.path, plan))
    code = drop_step_comments(code, commented)
    code = apply_rules(code, before) if rules else code
    return drop_repeats(code, before) if rules and drops_repeats else code


def apply_rules(code: str, before: str) -> str:
    """The code of a turn after the program `before`, repaired where a rule applies."""
    if not code.strip():
        return code
    if not compiles(code):
        code = next((each for each in plausible_codes(code) if compiles(each)), code)
    if not compiles(code):
        return code
    there = bound_names(before) | bound_names(code)
    for name in undefined_names(before + "\n\n" + code):
        if name in there:
            continue  # bound in the wrong place, which no rule repairs
        if name in IMPORTS:
            mended = add_imports(code, [IMPORTS[name]])
        else:
            known = closest_name(name, there)
            mended = rename_unbound(code, name, known) if known else code
        if compiles(mended) and name not in undefined_names(before + "\n\n" + mended):
            code = mended
    return code


def plausible_codes(code: str) -> Iterator[str]:
    """What code that does not parse may have been meant to be, the likeliest first."""
    straight = dedent(code.expandtabs(4))
    yield straight
    yield print_returns(straight)
    lines = straight.split("\n")
    least = (len(lines) + 2) // 3  # more than that is not a tail that was cut off
    while len(lines) > least:
        lines.pop()
        if lines[-1].strip():
            yield "\n".join(lines)
            yield print_returns("\n".join(lines))


def closest_name(name: str, known: frozenset[str]) -> str:
    """The one known name that this is a misspelling of; "" if there is none or more than one."""
    if len(name) < SHORTEST_NAME:
        return ""
    same = [each for each in sorted(known) if normalised_name(each) == normalised_name(name)]
    close = same or get_close_matches(name, sorted(known), n=2, cutoff=CLOSE_MATCH)
    return close[0] if len(close) == 1 else ""


def normalised_name(name: str) -> str:
    return re.sub("_", "", name).lower().removesuffix("s")
