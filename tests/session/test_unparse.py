"""Code for syntax trees that Python itself refuses to write."""

import ast

import pytest

import mtchat
from mtchat.session.names import names_of, unparse
from mtchat.testing import FakeModel

ODD = [
    "amount = 1234\nprint(f\"{amount}{'\u00a0'}EUR\")",
    "amount = 1234\nprint(f\"{amount:>5}{chr(10)}{'\u200b'.join(['a'])}\")",
    "big = 0x" + "f" * 5000,
]


@pytest.mark.parametrize("code", ODD)
def test_code_that_cannot_be_written_again_keeps_its_names(code: str) -> None:
    again = unparse(ast.parse(code))
    assert names_of(again).binds == names_of(code).binds


def test_other_code_is_written_as_python_writes_it() -> None:
    code = "def f(x):\n    return f'{x!r:>{x}}'\nx = [1, *f(2)]"
    assert unparse(ast.parse(code)) == ast.unparse(ast.parse(code))


@pytest.mark.parametrize("policy", ["plain", "default"])
@pytest.mark.parametrize("code", ODD)
def test_a_turn_with_such_code_is_taken(code: str, policy: str) -> None:
    model = FakeModel({"show the amount": code})
    with mtchat.Conversation(model, settings=mtchat.Settings(policy=policy)) as chat:
        chat.send("show the amount")
        assert chat.session.program.source.strip() == code
