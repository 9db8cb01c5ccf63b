"""Checks that code meets visible requirements of an instruction, and that it does no less than other code."""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator

from mtchat.edits.repeats import only_repeats
from mtchat.session.names import bound_names, parse_module, unparse
from mtchat.session.outcome import Outcome

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
SHORTEST = 4  # letters of the shortest word that is compared
LONGEST = 4000  # characters of an instruction that are compared


def does_less(code: str, than: str, instruction: str, before: str) -> str:
    """What code for a step leaves out that other code for it does; "" if nothing is found.

    `before` is the program that both continue. Code that does not parse or has no statements does less than
    any other.
    """
    new, old = parse_module(code), parse_module(than)
    if old is None or not old.body:
        return ""
    if new is None or not new.body:
        return "has no code"
    return next(find_left_out(new, old, instruction[:LONGEST], before), "")


def find_left_out(new: ast.Module, old: ast.Module, instruction: str, before: str) -> Iterator[str]:
    asks_function = FUNCTION.search(instruction) is not None
    if may_ask_to_print(instruction) and prints(old) and not prints(new) and not asks_function:
        yield "prints nothing"
    if not asks_function:
        if has_effect(old) and not has_effect(new):
            yield "only defines or imports"
        for name in sorted(called(old) - called(new)):
            if name in bound_names(unparse(new)) | bound_names(before):
                yield f"does not call {name}"
    if defined(old) - called(old) and not defined(new) and not called(new) & defined(old):
        yield "defines nothing"
    for word in sorted(kept_words(old, instruction, before)):
        if not has(new, word):
            yield f"has nothing of {word}"
    again = repeated_statements(new, before) - repeated_statements(old, before)
    if again.total() > 1 or any(isinstance(ast.parse(each).body[0], DEFINITIONS) for each in again):
        yield "writes earlier turns again"


def has_effect(module: ast.Module) -> bool:
    """Whether a module does more than define and import."""
    return any(not isinstance(node, (*DEFINITIONS, *IMPORTS, ast.Pass)) for node in statements_of(module))


def statements_of(module: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, without bare strings."""
    for node in module.body:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield node


def prints(module: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        for node in ast.walk(module)
    )


def called(module: ast.Module) -> frozenset[str]:
    """The names that a module calls outside of its functions and classes."""
    found = set()
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, DEFINITIONS):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
        waiting += ast.iter_child_nodes(node)
    return frozenset(found)


def defined(module: ast.Module) -> frozenset[str]:
    return frozenset(node.name for node in module.body if isinstance(node, DEFINITIONS))


def kept_words(old: ast.Module, instruction: str, before: str) -> frozenset[str]:
    """The words of an instruction that code uses: as keys, in other strings, as names of the program."""
    state = bound_names(before) - set(dir(builtins))
    labels = {
        id(each)
        for each in displayed_strings(old)
        if not str(each.value).strip() or str(each.value) not in instruction
    }
    parts: set[str] = set()
    methods = {id(node.func) for node in ast.walk(old) if isinstance(node, ast.Call)}
    for node in ast.walk(old):
        match node:
            case ast.Constant(str() as text) if len(text) < LONGEST and id(node) not in labels:
                parts |= split_words(text)
            case ast.Attribute(_, name) if id(node) not in methods:
                parts |= split_words(name)
            case ast.Name(name) if name in state:
                parts |= split_words(name)
    return frozenset(word for word in words(instruction) if any(have_same_stem(word, part) for part in parts))


def displayed_strings(module: ast.Module) -> Iterator[ast.Constant]:
    """Strings that are only displayed: in f-strings, and passed to calls for their effect, such as titles."""
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr | ast.Expr):
            for each in ast.walk(node):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each


def has(new: ast.Module, word: str) -> bool:
    """Whether a word occurs in code in any form, strings included."""
    texts = [each.value for each in ast.walk(new) if isinstance(each, ast.Constant)]
    parts = split_words("\n".join([unparse(new), *(each for each in texts if isinstance(each, str))]))
    return any(have_same_stem(word, part) for part in parts)


def words(instruction: str) -> frozenset[str]:
    return frozenset(each for each in split_words(instruction) if len(each) >= SHORTEST)


def split_words(text: str) -> frozenset[str]:
    """The words in a text or a name, in lower case."""
    return frozenset(each.lower() for each in re.findall(r"[^\W_]+", text))


def have_same_stem(word: str, part: str) -> bool:
    """Whether one word is the other with another ending, such as monthly and month."""
    short, long = sorted((word, part), key=len)
    stem = short.removesuffix("s").removesuffix("e")
    return len(stem) >= SHORTEST - 1 and long.startswith(stem)


def repeated_statements(module: ast.Module, before: str) -> Counter[str]:
    """The statements of a module that the program before it contains too, without imports."""
    earlier = parse_module(before)
    known = {unparse(node) for node in earlier.body} if earlier else set()
    names = defined(earlier) if earlier else frozenset()
    found: Counter[str] = Counter()
    for node in statements_of(module):
        again = isinstance(node, DEFINITIONS) and node.name in names
        text = unparse(node)
        if again or (text in known and not isinstance(node, (*IMPORTS, ast.Expr))):
            found[text] += 1
    return found


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
QUESTION = re.compile(r"\?\s*$|^\W*(?:what|which|who|how|when|where|is|are|does|do)\b", re.IGNORECASE)
ENGLISH = re.compile(  # words of no meaning of their own; without one, a text may be in any language
    r"\b(?:the|of|and|with|to|for|from|that|this|it|its|is|are|be|each|every|all|them|into|by|as|which)\b",
    re.IGNORECASE,
)
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


def unmet_requirements(
    instruction: str,
    chunk: str,
    program: str,
    outcome: Outcome | None,
    *,
    may_print: bool = False,
    may_omit: bool = False,
) -> tuple[str, ...]:
    """The requirements of a turn that it visibly does not meet; `program` ends with its chunk.

    `may_print`: there may be output that the instruction does not speak of. `may_omit`: there may be names in
    it that the code does not use, such as those that a change takes away.
    """
    found = find_unmet(instruction, chunk, program, outcome, may_print)
    return (*found, *(() if may_omit else find_unused(instruction, chunk, program)))


def find_unused(instruction: str, chunk: str, program: str) -> Iterator[str]:
    for name in unused_names(instruction, chunk, bound_names(program)):
        yield f"does not use {name}"


def find_unmet(
    instruction: str, chunk: str, program: str, outcome: Outcome | None, may_print: bool
) -> Iterator[str]:
    there = bound_names(program)
    function = FUNCTION.search(instruction)
    for name in named_in(instruction):
        if name not in there:
            yield f"does not bind {name}"
    if function and not defines_function(chunk):
        yield "defines no function"
    said = outcome is not None and outcome.ok and bool(outcome.outputs) and bool(outcome.outputs[-1].strip())
    if PRINTS.search(instruction) and not function and outcome is not None and not said:
        yield "prints nothing"
    if said and not may_print and not may_ask_to_print(instruction):
        yield "prints what was not asked for"
    if only_repeats(chunk, program.removesuffix("\n").removesuffix(chunk.rstrip("\n"))):
        yield "only repeats earlier code"


def may_ask_to_print(instruction: str) -> bool:
    """Whether an instruction may want a print: it says so, it is a question, or it is not in English."""
    return bool(SPEAKS.search(instruction) or QUESTION.search(instruction) or not ENGLISH.search(instruction))


def named_in(instruction: str) -> tuple[str, ...]:
    """The names that an instruction assigns, as far as patterns recognise them."""
    found = [match["quoted"] or match["name"] for match in NAMED.finditer(instruction)] + [
        match["double"] or match["single"] or match["bare"] for match in STORED.finditer(instruction)
    ]
    return tuple(dict.fromkeys(name for name in found if name.isidentifier() and name.lower() not in FILLERS))


def unused_names(instruction: str, chunk: str, known: frozenset[str]) -> list[str]:
    """Names of the program that an instruction mentions and the code does not use."""
    words = dict.fromkeys(WORD.findall(EXAMPLE.sub("", instruction)))
    used = set(IDENTIFIER.findall(chunk))
    return [each for each in words if each in known - used and each not in ARTICLES]


def defines_function(chunk: str) -> bool:
    """Whether a chunk defines a function in any form."""
    module = parse_module(chunk)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    return module is not None and any(isinstance(node, kinds) for node in ast.walk(module))
