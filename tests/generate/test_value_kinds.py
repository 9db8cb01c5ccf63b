"""What kind of thing a variable is, and what to call it in a sentence."""

import ast

import pytest

from mtchat.generate.judge.value_kinds import describe_kind, family, family_of_code, is_same
from mtchat.session.outcome import Variable

KINDS = [
    (("int", "", "3"), "number", "a number"),
    (("float64", "scalar", "3.0"), "number", "a number"),
    (("str", "5", "'hello'"), "text", "a text"),
    (("list", "2", "[1, 2]"), "collection", "a list"),
    (("ndarray", "3", "1, 2, 3 (int64)"), "collection", "an ndarray"),
    (("DataFrame", "3 x 2", ""), "collection", "a DataFrame"),
    (("Counter", "2", "Counter()"), "mapping", "a Counter"),
    (("function", "", "f(x)"), "function", "a function"),
    (("type", "", "Player"), "class", "a class"),
    (("ABCMeta", "", "Shape"), "class", "a class"),
    (("Player", "", "Player(name='Ann')"), "Player", "a Player"),
]


@pytest.mark.parametrize(("variable", "kind", "words"), KINDS)
def test_a_variable_is_of_a_broad_kind(variable: tuple[str, str, str], kind: str, words: str) -> None:
    value = Variable("x", *variable)
    assert (family(value), describe_kind(value)) == (kind, words)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("3", "number"),
        ("'a'", "text"),
        ("f'{x}'", "text"),
        ("[1]", "collection"),
        ("{x for x in y}", "collection"),
        ("{1: 2}", "mapping"),
        ("f(x)", ""),
        ("x", ""),
    ],
)
def test_an_expression_shows_the_kind_of_its_value_or_nothing(code: str, kind: str) -> None:
    assert family_of_code(ast.parse(code, mode="eval").body) == kind


def test_objects_at_other_addresses_are_the_same() -> None:
    one = Variable("x", "Player", "", "<Player object at 0x7f0000001000>")
    other = Variable("x", "Player", "", "<Player object at 0x7f0000002000>")
    assert is_same(one, other)
    assert not is_same(one, Variable("x", "Team", "", one.value))
