"""Checks as they are typed, in Python and in words, and how they are told."""

import pytest

from mtchat.errors import MtchatError, UsageError
from mtchat.features.checks.parse import ParsedCheck, WordedCheck, parse_check
from mtchat.session.program import CheckResult, describe_check
from mtchat.session.session import Session
from mtchat.session.turn import Turn

SESSION = Session().extend(
    (Turn("a", "total = 40\nitems = [1, 2]\nname = 'Bob'"), Turn("b", "rate = 1.5\nlist_of = items"))
)


def test_a_session_without_turns_has_nothing_to_check():
    with pytest.raises(MtchatError, match="no turn to check yet"):
        parse_check("total == 42", Session())


def test_a_check_can_be_about_an_earlier_turn():
    assert parse_check("1: total == 42", SESSION) == ParsedCheck(1, "total == 42")
    assert parse_check("after turn 1 total is 42", SESSION) == ParsedCheck(1, "total == 42")
    assert parse_check("after turn 1, total must be 42", SESSION) == WordedCheck(1, "total must be 42")
    with pytest.raises(MtchatError, match="no turn 9; the program has 2 turns"):
        parse_check("after turn 9 total must be 42", SESSION)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("total == 42", "total == 42"),
        ("assert total == 42", "total == 42"),
        ("assert total == 42, 'wrong'", "total == 42"),
        ("check: total == 42", "total == 42"),
        ("check that total is 42", "total == 42"),
        ("total is 42", "total == 42"),
        ("total is not 42", "total != 42"),
        ("all(each > 0 for each in items)", "all(each > 0 for each in items)"),
        ("total is None", "total is None"),
        ("{1: total} == {1: 2}", "{1: total} == {1: 2}"),
        ("total == 42 and rate == 3", "total == 42 and rate == 3"),
    ],
)
def test_python_is_told_by_its_syntax_tree(text: str, code: str):
    assert parse_check(text, SESSION) == ParsedCheck(2, code)


@pytest.mark.parametrize(
    "text",
    [
        "total must be more than 3",
        "name is Bob",
        "die Liste items soll sortiert sein",
        "items 必须有两个值",
        "total必须是42",
        "total is 42 at last",
        "la longitud de items es 2",
    ],
)
def test_words_are_told_from_python(text: str):
    assert parse_check(text, SESSION) == WordedCheck(2, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "check what?"),
        ("total = 42", "a check compares with ==: /check total == 42"),
        ("42", "does not depend on the program"),
        ("(total, 42)", "does not depend on the program"),
        ("'total == 42'", "does not depend on the program"),
        ("assert 42", "does not depend on the program"),
        ("total == 42 or 43", "each side of 'and' and 'or' must compare"),
        ("x ==", "cannot be read .invalid syntax"),
        ("import os", "is a statement"),
        ("totl == 3", "totl is not defined after turn 2; did you mean total?"),
        ("totl", "totl is not defined after turn 2; did you mean total?"),
        ("name == Bob", "text needs quotes: 'Bob'"),
        ("1: rate == 3", "rate is not defined yet after turn 1"),
        ("(" * 300, "cannot be read"),
        ("x == " + "-" * 390 + "1", "nested too deeply"),
        ("total == " + "1" * 400, "at most 400 characters"),
        ("total must be 42 " * 600, "at most 400 characters"),
    ],
)
def test_what_is_no_check_is_an_error_that_says_what_would_be(text: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        parse_check(text, SESSION)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("total == 42", "total must be 42"),
        ("len(xs) >= 3", "the length of xs must be at least 3"),
        ("not len(xs) == 0", "the length of xs must not be 0"),
        ("3 in xs", "3 must be in xs"),
        ("is_prime(7)", "is_prime(7) must hold"),
        ("not done", "done must not hold"),
        ("0 < x < 3", "0 < x < 3 must hold"),
    ],
)
def test_a_check_is_told_in_words(code: str, words: str):
    assert describe_check(code) == words
    assert CheckResult(2, code, False, "x is 1").sentence == f"after turn 2, {words}, but x is 1"
