"""What kind of thing a variable is, as far as the list of variables of a run tells it."""

import ast

from mtchat.generate.judge.arbitrary import without_identity
from mtchat.session.outcome import Variable

FUNCTIONS = frozenset({"function", "builtin_function_or_method", "method", "partial", "_lru_cache_wrapper"})
NUMBERS = frozenset({"int", "float", "bool", "complex", "Decimal", "Fraction"})
MAPPINGS = frozenset({"dict", "defaultdict", "OrderedDict", "Counter"})


def is_same(old: Variable, now: Variable) -> bool:
    return (old.kind, old.shape, without_identity(old.value)) == (
        now.kind,
        now.shape,
        without_identity(now.value),
    )


def family(variable: Variable) -> str:
    """What kind of thing a variable is, broadly: a number, a text, a collection, a mapping, a function."""
    kind = variable.kind
    if kind in FUNCTIONS or kind == "ufunc":
        return "function"
    if kind == "type" or kind.endswith(("Meta", "EnumType")):
        return "class"
    if kind in NUMBERS or variable.shape == "scalar":
        return "number"
    if kind in ("str", "bytes"):
        return "text"
    if kind in MAPPINGS:
        return "mapping"
    return "collection" if variable.shape else kind


def family_of_code(node: ast.AST | None) -> str:
    """The family of a value as its expression shows it; "" if it does not."""
    match node:
        case ast.Constant(value):
            return family(Variable("", type(value).__name__, "", ""))
        case ast.JoinedStr():
            return "text"
        case ast.Dict() | ast.DictComp():
            return "mapping"
        case ast.List() | ast.Tuple() | ast.Set() | ast.ListComp() | ast.SetComp():
            return "collection"
    return ""


def kind_of(variable: Variable) -> str:
    """What to call a variable's kind in a sentence."""
    known = family(variable)
    return known if known in ("number", "text", "function", "class") else variable.kind


def describe_kind(variable: Variable) -> str:
    """The kind of a variable with an article."""
    kind = kind_of(variable)
    vowel = kind.lower().startswith((*"aeio", "nd"))
    return f"{'an' if vowel else 'a'} {kind}"
