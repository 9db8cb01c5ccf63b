"""Characters that models write and Python rejects, replaced where only one replacement is possible."""

import ast
import re
import unicodedata
from functools import lru_cache

from mtchat.session.names import parse_module

MEANT = {
    "\u2212": "-",  # minus sign
    "\u2010": "-",
    "\u2011": "-",
    "\u2013": "-",
    "\u00d7": "*",
    "\u00f7": "/",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2260": "!=",
}
ODD = re.compile(r"[^\x00-\x7f\w\s‘’“”]")
BESIDE = re.compile(r"[^\x00-\x7f\w‘’“”]")  # odd characters, and spaces that Python rejects
STRINGS = re.compile('"+')
LONGEST = 400
ACTS = (
    *(ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.Return, ast.Delete, ast.Raise),
    *(ast.Assert, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.With),
    *(ast.Try, ast.Match),
)


def replace_odd_characters(line: str, bare: str) -> str:
    """A line with odd characters replaced, except in strings and comments, which `bare` masks."""
    return "".join(
        stands_for(sign) if sign == shown and BESIDE.match(sign) else sign
        for sign, shown in zip(line, bare, strict=True)
    )


def stands_for(sign: str) -> str:
    """What a character stands for in code: its lookalike, a space, nothing if it has no width, or itself."""
    if sign in MEANT:
        return MEANT[sign]
    if unicodedata.category(sign) == "Cf":
        return ""
    if unicodedata.category(sign) == "Zs":
        return " "
    plain = unicodedata.normalize("NFKC", sign)
    return plain if len(plain) == 1 and plain.isascii() and plain.isprintable() else sign


@lru_cache(maxsize=1024)
def is_statement(bare: str) -> bool:
    """Whether a masked line with odd characters is a statement with an effect, whatever they mean."""
    if len(bare) > LONGEST:
        return False
    text = STRINGS.sub("_", bare).strip()
    if not ODD.search(text):
        return False
    readings = ("".join(map(stands_for, text)), ODD.sub(" + ", text), ODD.sub("_", text), ODD.sub("", text))
    return any(does_something(reading.strip()) for reading in readings)


def does_something(text: str) -> bool:
    module = parse_module(f"{text}\n pass" if text.endswith(":") else text)
    if module is None or not module.body:
        return False
    return all(isinstance(each, ACTS) or is_ascii_call(each) for each in module.body)


def is_ascii_call(node: ast.stmt) -> bool:
    """Whether a statement calls an ASCII name; in other scripts prose precedes brackets too."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func).isascii()


def is_bare_annotation(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and node.value is None


def does_nothing(code: str) -> bool:
    """Whether code has no effect: a name, a path, a number, or text that does not parse."""
    module = parse_module(code.strip())
    if module is None:
        return not is_statement(code)
    return all(
        is_bare_annotation(node)
        or (isinstance(node, ast.Expr) and not any(isinstance(each, ast.Call) for each in ast.walk(node)))
        for node in module.body
    )
