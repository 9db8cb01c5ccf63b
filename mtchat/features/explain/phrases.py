"""Python expressions in plain English, as far as they mean the same in any program."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtchat.session.names import unparse
from mtchat.session.text import join_words, quantity

LONGEST = 60  # characters of a text that is quoted


class NoPlainWords(Exception):  # noqa: N818 - not an error: the code itself says it better
    """No plain words are certain to be true of this code."""


OPERATORS: Mapping[type[ast.operator], str] = {
    ast.Add: "{} plus {}",
    ast.Sub: "{} minus {}",
    ast.Mult: "{} times {}",
    ast.Div: "{} divided by {}",
    ast.FloorDiv: "{} divided by {}, rounded down",
    ast.Mod: "the remainder of {} divided by {}",
    ast.Pow: "{} to the power of {}",
}
COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "{} is equal to {}",
    ast.NotEq: "{} is not equal to {}",
    ast.Lt: "{} is less than {}",
    ast.LtE: "{} is at most {}",
    ast.Gt: "{} is greater than {}",
    ast.GtE: "{} is at least {}",
    ast.In: "{} is in {}",
    ast.NotIn: "{} is not in {}",
    ast.Is: "{} is {}",
    ast.IsNot: "{} is not {}",
}
# What built-in functions return, by name and number of arguments.
FUNCTIONS: Mapping[tuple[str, int], str] = {
    ("len", 1): "the number of items in {}",
    ("sum", 1): "the sum of {}",
    ("max", 1): "the largest item of {}",
    ("min", 1): "the smallest item of {}",
    ("max", 2): "the larger of {} and {}",
    ("min", 2): "the smaller of {} and {}",
    ("sorted", 1): "a sorted list of the items of {}",
    ("reversed", 1): "the items of {} in reverse order",
    ("abs", 1): "the absolute value of {}",
    ("round", 1): "{} rounded to a whole number",
    ("round", 2): "{} rounded to {} decimal places",
    ("str", 1): "{} as text",
    ("int", 1): "{} as a whole number",
    ("float", 1): "{} as a number with a fraction",
    ("list", 1): "a list of the items of {}",
    ("set", 1): "a set of the items of {} without duplicates",
    ("tuple", 1): "a tuple (a fixed list) of the items of {}",
    ("range", 1): "the whole numbers from 0 up to, but not including, {}",
    ("range", 2): "the whole numbers from {} up to, but not including, {}",
    ("range", 3): "the whole numbers from {}, up to but not including {}, in steps of {}",
    ("enumerate", 1): "the items of {} with their positions, counting from 0",
    ("enumerate", 2): "the items of {} with their positions, counting from {}",
    ("zip", 2): "the items of {} and {} in pairs",
    ("type", 1): "the type of {}",
    ("input", 0): "what the user types",
    ("input", 1): "what the user types after seeing {}",
    ("list", 0): "an empty list",
    ("dict", 0): "an empty dictionary",
    ("set", 0): "an empty set",
}
# What methods return that only texts and dictionaries have.
METHODS: Mapping[tuple[str, int], str] = {
    ("upper", 0): "{} in capital letters",
    ("lower", 0): "{} in lowercase letters",
    ("strip", 0): "{} without spaces at its start and end",
    ("title", 0): "{} with a capital letter at the start of each word",
    ("split", 0): "the words of {}",
    ("split", 1): "the parts of {} when split at each {}",
    ("splitlines", 0): "the lines of {}",
    ("startswith", 1): "whether {} starts with {}",
    ("endswith", 1): "whether {} ends with {}",
    ("items", 0): "the entries of {}, each a key with its value",
    ("keys", 0): "the keys of {}",
    ("values", 0): "the values of {}",
}
EMPTY: Mapping[type[ast.expr], str] = {ast.List: "an empty list", ast.Tuple: "an empty tuple"}
KINDS: Mapping[type[ast.expr], str] = {ast.List: "list", ast.Tuple: "tuple (a fixed list)", ast.Set: "set"}


@dataclass(frozen=True)
class Phrases:
    """Describes expressions in words.

    `taken` are the names that the program redefines, `functions` the names of its own functions.
    """

    taken: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()

    def say(self, node: ast.expr) -> str:
        """The expression in words; raises NoPlainWords if there are none."""
        match node:
            case ast.Constant(value):
                return phrase_constant(value)
            case ast.Name(name):
                return f"`{name}`"
            case ast.List(items) | ast.Tuple(items) | ast.Set(items):
                return self.collection(node, items)
            case ast.Dict(keys, values):
                if None in keys:
                    raise NoPlainWords
                return (
                    f"a dictionary with {quantity(len(values), 'entry')}" if values else "an empty dictionary"
                )
            case ast.JoinedStr(values):
                return self.text(values)
            case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
                if not isinstance(operator, ast.Add | ast.Mult) and (is_text(left) or is_text(right)):
                    raise NoPlainWords  # "%d" % x and folder / "x" are not arithmetic
                return OPERATORS[type(operator)].format(self.part(left), self.part(right))
            case ast.UnaryOp(ast.Not(), operand):
                return self.negation(operand)
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return f"-{value}"
            case ast.BoolOp(operator, values):
                word = " and " if isinstance(operator, ast.And) else " or "
                return word.join(self.condition(each, within=True) for each in values)
            case ast.Compare(left, [operator], [right]) if type(operator) in COMPARISONS:
                return COMPARISONS[type(operator)].format(self.part(left), self.part(right))
            case ast.Call(function, arguments, []):
                return self.call(function, arguments)
            case ast.Call(ast.Name(name), [whole], keywords) if name not in self.taken:
                return self.chosen(name, whole, keywords)
            case ast.Subscript(ast.Name() as whole, index):
                return self.entry(whole, index)
            case ast.ListComp(item, [one]) | ast.GeneratorExp(item, [one]):
                return f"{self.say(item)} for each {self.name(one.target)} of {self.say(one.iter)}" + (
                    "".join(f", only where {self.condition(test)}" for test in one.ifs)
                )
        return no_words()

    def part(self, node: ast.expr) -> str:
        """An expression inside another one: in brackets if it has parts itself."""
        words = self.say(node)
        compound = isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare | ast.ListComp | ast.GeneratorExp)
        return f"({words})" if compound else words

    def condition(self, node: ast.expr, within: bool = False) -> str:
        """An expression used as a condition."""
        if isinstance(node, ast.Compare | ast.BoolOp) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return self.part(node) if within and isinstance(node, ast.BoolOp) else self.say(node)
        return f"{self.part(node)} is true (not False, 0 or empty)"

    def negation(self, node: ast.expr) -> str:
        if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
            return f"it is not true that {self.condition(node)}"
        return f"{self.part(node)} is not true (it is False, 0 or empty)"

    def name(self, target: ast.expr) -> str:
        """The target of an assignment or a loop."""
        match target:
            case ast.Name(name):
                return f"`{name}`"
            case ast.Tuple(items) if all(isinstance(each, ast.Name) for each in items):
                return join_words([f"`{each.id}`" for each in items if isinstance(each, ast.Name)])
        return no_words()

    def collection(self, node: ast.expr, items: list[ast.expr]) -> str:
        if not items:
            return EMPTY.get(type(node), "an empty collection")
        if any(isinstance(each, ast.Starred) for each in items):
            return no_words()
        return f"a {KINDS[type(node)]} of {quantity(len(items), 'item')}"

    def text(self, parts: list[ast.expr]) -> str:
        """An f-string: its values, without their exact format."""
        values = [part.value for part in parts if isinstance(part, ast.FormattedValue)]
        if not values:
            return no_words()
        return f"a text with {join_words([self.part(each) for each in values])} filled in"

    def call(self, function: ast.expr, arguments: list[ast.expr]) -> str:
        table: Mapping[tuple[str, int], str]
        match function:
            case ast.Name(name) if name in self.functions:
                return f"the result of calling `{name}`{self.given(arguments)}"
            case ast.Name(name) if name not in self.taken:
                table, given = FUNCTIONS, arguments
            case ast.Attribute(ast.Constant(str()) as between, "join") if len(arguments) == 1:
                return (
                    f"the items of {self.part(arguments[0])} joined into one text, "
                    f"with {self.say(between)} between them"
                )
            case ast.Attribute(ast.Name() | ast.Constant() as owner, name) if name not in self.taken:
                table, given = METHODS, [owner, *arguments]
            case _:
                return no_words()
        words = table.get((name, len(arguments)))
        return words.format(*map(self.part, given)) if words else no_words()

    def given(self, arguments: list[ast.expr]) -> str:
        """The arguments of a call to a function of the program."""
        return f" with {join_words(list(map(self.part, arguments)))}" if arguments else ""

    def chosen(self, name: str, whole: ast.expr, keywords: list[ast.keyword]) -> str:
        """The result of max, min or sorted when they are given a key or an order."""
        ends = {"max": "largest", "min": "smallest"}
        match keywords:
            case [ast.keyword("key", ast.Attribute(ast.Name(table), "get"))] if name in ends:
                if unparse(whole) == table:
                    return f"the key of `{table}` whose value is the {ends[name]}"
            case [ast.keyword("key", ast.Name("len"))] if name in ends and "len" not in self.taken:
                return f"the {'longest' if name == 'max' else 'shortest'} item of {self.part(whole)}"
            case [ast.keyword("reverse", ast.Constant(True))] if name == "sorted":
                return f"a sorted list of the items of {self.part(whole)}, the largest first"
        return no_words()

    def entry(self, whole: ast.Name, index: ast.expr) -> str:
        match index:
            case ast.Constant(str() as key) if len(key) <= LONGEST and "\n" not in key:
                return f'the entry "{key}" of `{whole.id}`'
            case ast.Name(name):
                return f"the entry `{name}` of `{whole.id}`"
            case ast.Constant(int() as at) if not isinstance(at, bool):
                return f"the entry {at} of `{whole.id}`"
        return no_words()


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def phrase_constant(value: object) -> str:
    match value:
        case str() if len(value) <= LONGEST and "\n" not in value:
            return f'the text "{value}"' if value else "an empty text"
        case bool():
            return f"{value} ({'yes' if value else 'no'})"
        case None:
            return "None (nothing)"
        case int() | float():
            return repr(value)
    return no_words()


def no_words() -> str:
    raise NoPlainWords


def try_phrase(say: Callable[[], str]) -> str | None:
    """The words if there are some, else None."""
    try:
        return say()
    except (NoPlainWords, RecursionError):
        return None
