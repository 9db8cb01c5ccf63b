"""Judges a proposed expression by its syntax tree: that it only looks, and has what the text mentions."""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mtchat.session.names import parse_module, unparse
from mtchat.session.program import parse_expression

LONGEST = 400  # characters of a check
# Builtins that compute a value from values; every other one reads, writes, runs code or changes something.
LOOKING = frozenset(
    (
        *("abs", "all", "any", "ascii", "bin", "bool", "bytes", "callable", "chr", "complex", "dict"),
        *("divmod", "enumerate", "filter", "float", "format", "frozenset", "getattr", "hasattr", "hash"),
        *("hex", "int", "isinstance", "issubclass", "len", "list", "map", "max", "min", "object", "oct"),
        *("ord", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum"),
        *("tuple", "type", "zip", "True", "False", "None", "Ellipsis", "NotImplemented"),
    )
)
NUMBER = re.compile(r"(?<![A-Za-z0-9_.])(?:\d+(?:[.,]\d+)*|\.\d+)(?![A-Za-z0-9_])")
WORD = re.compile(r"[^\W\d]\w*")
IDEOGRAPH = re.compile(r"[\u2e80-\uffef]")  # of scripts that put no space between words
QUOTES = (r"'([^'\n]+)'", r'"([^"\n]+)"', r"[„“]([^“”\n]+)[“”]", r"«\s?([^»\n]+?)\s?»", r"「([^」\n]+)」")
QUOTED = re.compile(rf"(?<!\w)(?:{'|'.join(QUOTES)})(?!\w)")
SMALL = 2  # numbers up to this one stand in many expressions of which the text names none


@dataclass(frozen=True)
class Mentions:
    """What a text mentions: numbers, names that the program binds itself, and what stands in quotes.

    `values` are words that are texts in the program, and `letters` names of one letter; some of them may be
    there by chance, such as "the" and "a".
    """

    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    letters: tuple[str, ...] = ()


def free_names(value: ast.expr) -> frozenset[str]:
    """The names that an expression takes from the program."""
    nodes = list(ast.walk(value))
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name)) - own


def valid_expression(code: str) -> str:
    """The code if it is one expression that can be evaluated; "" otherwise."""
    value = parse_expression(code) if code.strip() else None
    if value is None or any(
        isinstance(node, ast.Await | ast.Yield | ast.YieldFrom) for node in ast.walk(value)
    ):
        return ""
    return code.strip()


def asserted(code: str) -> str:
    """The expression that a single assert statement asserts, or that the code is; "" if it is neither."""
    module = parse_module(code.strip())
    match module.body if module else []:
        case [ast.Assert(test)]:
            return valid_expression(unparse(test))
    return valid_expression(code)


def find_mentions(text: str, program: str) -> Mentions:
    """The numbers of a text, and the names in it that the program binds and does not import.

    A single letter that is a word of some language counts only where it is marked as code.
    """
    known, numbers = own_names(program), tuple(dict.fromkeys(NUMBER.findall(text)))
    words = dict.fromkeys([*WORD.findall(text), *WORD.findall(IDEOGRAPH.sub(" ", text))])
    names = tuple(word for word in words if word in known and (len(word) > 1 or is_meant(word, text)))
    quoted = tuple(next(filter(None, each.groups())) for each in QUOTED.finditer(text))
    texts = string_constants(program) - known - set(quoted)
    values = tuple(word for word in words if word in texts and len(word) > 1)
    letters = tuple(word for word in words if word in known and word not in names)
    return Mentions(numbers, names, quoted, values, letters)


def is_meant(letter: str, text: str) -> bool:
    """Whether a letter is a name: no vowel, and not before an apostrophe, unless it stands as code."""
    if re.search(rf"[`(\[]{letter}\b|\b{letter}[`(\[.)\]]\S|\b{letter}\s*[=<>]|[=<>]\s*{letter}\b", text):
        return True
    return letter.lower() not in "aeiouy" and not re.search(rf"\b{letter}['’]", text)


def own_names(program: str) -> frozenset[str]:
    """The names that a program assigns or defines at its top level."""
    module = parse_module(program)
    return frozenset(names_assigned(module.body)) if module else frozenset()


def loop_names(program: str) -> frozenset[str]:
    """The names that only a loop of a program leaves behind: who says "every word" means no such value."""
    module = parse_module(program)
    loops = [node for node in module.body if isinstance(node, ast.For | ast.AsyncFor)] if module else []
    left = {
        node.id
        for loop in loops
        for part in ast.walk(loop)
        if isinstance(part, ast.For | ast.AsyncFor)
        for node in ast.walk(part.target)
        if isinstance(node, ast.Name)
    }
    return frozenset(left - own_names(program))


def names_assigned(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.Import() | ast.ImportFrom():
                continue
            case _:
                yield from bound_by(statement)


def bound_by(statement: ast.AST) -> Iterator[str]:
    """The names that a statement binds, without those of its functions, its comprehensions and its loops."""
    closed = (
        *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
        *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    )
    if isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
        yield statement.id
    looped = getattr(statement, "target", None) if isinstance(statement, ast.For | ast.AsyncFor) else None
    for node in ast.iter_child_nodes(statement):
        if node is looped:
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif not isinstance(node, closed):
            yield from bound_by(node)


def side_effect(value: ast.expr, own: frozenset[str]) -> str:
    """What an expression would do beside looking, as far as its tree shows; `own` are the program's names."""
    free = free_names(value) - own
    for node in ast.walk(value):
        match node:
            case ast.NamedExpr():
                return "it assigns a name"
            case ast.Name(name) if name in free and hasattr(builtins, name) and not is_harmless(name):
                return f"it calls {name}"
    return ""


def is_harmless(builtin: str) -> bool:
    """Whether a builtin only computes: one of those listed, or an exception, whose name may be compared."""
    found = getattr(builtins, builtin)
    return builtin in LOOKING or (isinstance(found, type) and issubclass(found, BaseException))


def missing_mention(value: ast.expr, mentions: Mentions) -> str:
    """The first name or number of the text that an expression lacks; "" if it has all."""
    words = set(words_of(value))
    for name in mentions.names:
        if name not in words:
            return name
    for said in mentions.quoted:
        if said not in words and not any(said in each for each in strings_of(value)):
            return repr(said)
    numbers = set(numbers_of(value))
    for written in mentions.numbers:
        known = readings(written) & numbers or parts_of(written) <= numbers
        if not known and not (0.0 in readings(written) and counts_nothing(value)):
            return written
    return ""


def readings(written: str) -> frozenset[float]:
    """What a number can mean: 0,5 is a half in German, 1,000 and 1.000 a thousand somewhere, 5 % is 0.05."""
    grouped = re.fullmatch(r"\d{1,3}(?:([.,])\d{3})+", written)
    texts = [written, written.replace(",", ".") if written.count(",") == 1 else ""]
    texts += [written.replace(grouped[1], "")] if grouped else []
    found: set[float] = set()
    for text in texts:
        try:
            found |= {float(text), float(text) / 100}
        except ValueError:
            continue
    return frozenset(found)


def parts_of(written: str) -> frozenset[float]:
    """The numbers of what can be several, as in (3,4)."""
    try:
        return frozenset(map(float, written.split(",")))
    except ValueError:
        return frozenset({float("nan")})


def missing_value(code: str, mentions: Mentions) -> str:
    """The first text of the program that the words mention and an expression lacks; "" if it has all."""
    value = parse_expression(code)
    words = set(words_of(value)) if value else set()
    return next((repr(each) for each in mentions.values if each not in words), "")


def counts_nothing(value: ast.expr) -> bool:
    """Whether an expression can mean zero without the number: not errors."""
    return any(isinstance(node, ast.Not) for node in ast.walk(value))


def words_of(value: ast.expr) -> Iterator[str]:
    """The names, attributes and words in strings of an expression."""
    for node in ast.walk(value):
        match node:
            case ast.Name(word) | ast.arg(word) | ast.keyword(str(word)) | ast.Attribute(_, word):
                yield word
            case ast.Constant(str(said)):
                yield from WORD.findall(said)


def strings_of(value: ast.expr) -> Iterator[str]:
    for node in ast.walk(value):
        match node:
            case ast.Constant(str(said)):
                yield said


def numbers_of(value: ast.expr) -> Iterator[float]:
    """The numbers of an expression, also those in its strings, without their signs.

    An index that counts from the end is left out: -1 says "the last" and not 1.
    """
    ends = {id(part) for node in ast.walk(value) for part in end_indexes(node)}
    for node in ast.walk(value):
        if id(node) in ends:
            continue
        match node:
            case ast.Constant(bool()):
                continue
            case ast.Constant(int() | float() as number):
                try:
                    yield float(number)
                except OverflowError:
                    continue
            case ast.Constant(str(said)):
                yield from (each for written in NUMBER.findall(said) for each in readings(written))


def end_indexes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Subscript(_, ast.UnaryOp(ast.USub(), ast.Constant() as index)):
            yield index


def invented(value: ast.expr, text: str, program: str) -> str:
    """A text in an expression that neither the user nor the program's own text has; "" if there is none."""
    said, written = text.lower(), string_constants(program)
    for node in ast.walk(value):
        match node:
            case ast.Constant(str(word)) if word.strip() and word.lower() not in said and word not in written:
                return repr(word)
    return ""


def extra_numbers(value: ast.expr, text: str) -> int:
    """How many numbers of an expression the text does not have, small whole ones aside."""
    said = {each for written in NUMBER.findall(text) for each in readings(written)}
    small = {float(each) for each in range(SMALL + 1)}
    return sum(1 for number in numbers_of(value) if number not in said | small)


def string_constants(program: str) -> frozenset[str]:
    module = parse_module(program)
    nodes = ast.walk(module) if module else ()
    return frozenset(
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
