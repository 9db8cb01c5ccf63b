"""What must hold after a turn, in Python and in words, and what a run found of it."""

import ast
from dataclasses import dataclass

from mtchat.session.names import tree

RELATIONS = {
    ast.Eq: "be",
    ast.NotEq: "not be",
    ast.Lt: "be less than",
    ast.LtE: "be at most",
    ast.Gt: "be more than",
    ast.GtE: "be at least",
    ast.Is: "be",
    ast.IsNot: "not be",
    ast.In: "be in",
    ast.NotIn: "not be in",
}


@dataclass(frozen=True)
class Check:
    """A Python expression that must hold after a turn.

    `at` is the turn after which it is looked at: a later one where that has the code of the claim's turn.
    """

    turn: int
    code: str
    at: int


@dataclass(frozen=True)
class CheckResult:
    """What came of a claim: `passed` is None where the program did not come so far; `but` says why not."""

    turn: int
    code: str
    passed: bool | None = None
    but: str = ""

    @property
    def told(self) -> str:
        """One sentence for people who do not write code."""
        return f"after turn {self.turn}, {self.wish}"

    @property
    def wish(self) -> str:
        """What must hold, and what is the case instead."""
        return f"{wording(self.code)}, but {self.but}" if self.but else wording(self.code)


def expression(code: str) -> ast.expr | None:
    """The code as one expression; None where it is none, or is nested too deeply to be told."""
    module = tree(f"({code}\n)")  # in brackets it may have more lines than one
    match module.body if module else []:
        case [ast.Expr(value)] if tellable(value):
            return value
    return None


def tellable(value: ast.expr) -> bool:
    try:
        return bool(ast.unparse(value))
    except RecursionError:
        return False


def wording(code: str) -> str:
    """What an expression claims, in words: "total must be 42"."""
    match expression(code):
        case ast.Compare(left, [relation], [right]) if type(relation) in RELATIONS:
            return f"{called(left)} must {RELATIONS[type(relation)]} {ast.unparse(right)}"
        case ast.UnaryOp(ast.Not(), ast.Compare(left, [ast.Eq()], [right])):
            return f"{called(left)} must not be {ast.unparse(right)}"
        case ast.UnaryOp(ast.Not(), value):
            return f"{ast.unparse(value)} must not hold"
    return f"{code} must hold"


def called(value: ast.expr) -> str:
    """What to call one side of a comparison."""
    match value:
        case ast.Call(ast.Name("len"), [ast.Name(name)], []):
            return f"the length of {name}"
    return ast.unparse(value)
