"""Checks as they are typed, in Python and in words, and how they are told."""

import pytest

from mtchat.errors import MtchatError, UsageError
from mtchat.features.checks.parse import ParsedCheck, explain_unreadable, find_check, parse_check
from mtchat.session.program import CheckResult, describe_check
from mtchat.session.session import Session
from mtchat.session.turn import Turn

SESSION = Session().extend(
    (Turn("a", "total = 40\nitems = [1, 2]\nname = 'Bob'"), Turn("b", "rate = 1.5\nlist_of = items"))
)


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("after this total must be 42", "total == 42"),
        ("After this, the total should be at least 42.", "total >= 42"),
        ("check that total is 42", "total == 42"),
        ("check that total is not 42", "total != 42"),
        ("check that total must not be more than 3", "total <= 3"),
        ("check that items is empty", "len(items) == 0"),
        ("check that 3 is in items", "3 in items"),
        ("check that items contains 2", "2 in items"),
        ("check that the length of items is 2", "len(items) == 2"),
        ("check: total == 42", "total == 42"),
        ("after this name must be 'Bob'", "name == 'Bob'"),
        ("check that rate is below 2.5", "rate < 2.5"),
        ("check that items is not None", "items is not None"),
        ("check that total is 42 and rate is 3", "total == 42 and rate == 3"),
    ],
)
def test_an_instruction_that_is_a_check_is_kept_as_python(instruction: str, code: str):
    assert find_check(instruction, SESSION) == ParsedCheck(2, code)


@pytest.mark.parametrize(
    "instruction",
    [
        "check that n is prime",
        "check that total is even",
        "check that the list is sorted",
        "check if total is 42",
        "after this print total",
        "check that total is 42 or 43",
        "check that total is 42\nand print it",
        "Print total. It must be 42.",
        "total == 42",
        "check that total is 42" + " is 42" * 99999,
    ],
)
def test_what_is_no_check_of_names_that_are_there_is_for_the_model(instruction: str):
    assert find_check(instruction, SESSION) is None


def test_a_session_without_turns_has_nothing_to_check():
    assert find_check("check that total is 42", Session()) is None
    with pytest.raises(MtchatError, match="no turn to check yet"):
        parse_check("total == 42", Session())


def test_a_check_can_be_about_an_earlier_turn():
    assert find_check("after turn 1, total must be 42", SESSION) == ParsedCheck(1, "total == 42")
    assert parse_check("1: total == 42", SESSION) == ParsedCheck(1, "total == 42")
    assert parse_check("after turn 1 total is 42", SESSION) == ParsedCheck(1, "total == 42")
    with pytest.raises(MtchatError, match="no turn 9; the program has 2 turns"):
        find_check("after turn 9 total must be 42", SESSION)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("total == 42", "total == 42"),
        ("total is 42", "total == 42"),
        ("total must be more than 3", "total > 3"),
        ("all(each > 0 for each in items)", "all(each > 0 for each in items)"),
        ("total is None", "total is None"),
        ("{1: total} == {1: 2}", "{1: total} == {1: 2}"),
    ],
)
def test_the_command_takes_python_and_words(text: str, code: str):
    assert parse_check(text, SESSION) == ParsedCheck(2, code)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "check what?"),
        ("total = 42", "a check compares with ==: /check total == 42"),
        ("42", "does not depend on the program"),
        ("(total, 42)", "does not depend on the program"),
        ("'total == 42'", "does not depend on the program"),
        ("total == 42 or 43", "each side of 'and' and 'or' must compare"),
        ("x ==", "cannot be read .invalid syntax"),
        ("import os", "is a statement"),
        ("await total", "cannot be read|does not depend"),
        ("totl == 3", "totl is not defined after turn 2; did you mean total?"),
        ("name is Bob", "text needs quotes: 'Bob'"),
        ("1: rate == 3", "rate is not defined yet after turn 1"),
        ("(" * 300, "cannot be read"),
        ("x == " + "-" * 390 + "1", "nested too deeply"),
        ("total == " + "1" * 400, "at most 400 characters"),
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


CURVE = Session().extend((Turn("fit it", "coefficients = [1, 2]"),))


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("after this coefficients must have 3 values", "/check len(coefficients) == 3"),
        ("after turn 1, the coefficients should have exactly 3 entries", "/check len(coefficients) == 3"),
        ("after this coefficients must look nice", "try /check total == 42"),
    ],
)
def test_a_check_that_cannot_be_read_is_said_and_never_becomes_code(text: str, way: str) -> None:
    assert way in explain_unreadable(text, CURVE)


@pytest.mark.parametrize(
    "text",
    [
        "after this coefficients must be 3",
        "after this print the coefficients",
        "after this the user must enter a name",
        "coefficients must have 3 values",
        "check that the list is sorted",
    ],
)
def test_what_can_be_read_or_is_a_step_is_no_unread_check(text: str) -> None:
    assert explain_unreadable(text, CURVE) == ""
