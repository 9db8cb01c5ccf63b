"""Questions about a program: true to its run, and answers are checked by running it."""

import pytest

from mtchat.features.explain import quiz
from mtchat.features.explain.quiz import LENGTH, PRINTS, VALUE, QuizQuestion
from mtchat.session.program import Chunk, Program
from tests.support.generate import run_with_variables

SHOP = (
    "prices = [2, 3]",
    "total = 0\nfor price in prices:\n    total += price\nlong = list(range(99))",
    "name = 'Ada' + ' L'\nprint(total, name)",
)


def program(*chunks: str) -> Program:
    return Program(tuple(Chunk(number, code) for number, code in enumerate(chunks, start=1)))


def asked(*chunks: str) -> list[QuizQuestion]:
    whole = program(*chunks)
    return list(quiz.make_questions(len(chunks), program(*chunks[:-1]), whole, run_with_variables(whole)))


def test_a_question_is_about_what_the_turn_prints_and_what_it_sets():
    assert [(each.kind, each.name) for each in asked(*SHOP)] == [(PRINTS, ""), (VALUE, "name")]
    assert asked(*SHOP)[0].text == "What does turn 3 print?"
    assert [(each.kind, each.name) for each in asked(*SHOP[:2])] == [
        (VALUE, "total"),
        (VALUE, "price"),
        (LENGTH, "long"),
    ]
    assert asked(*SHOP[:2])[0].text == "After turn 2, what is `total`?"


def test_what_the_code_says_outright_is_not_asked():
    assert asked("x = 3") == []
    assert [each.name for each in asked("x = 3\nx = x + 1")] == ["x"]


def test_what_only_a_function_sets_is_not_asked():
    assert asked("def f():\n    inner = 1 + 1\n    return inner") == []


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        (QuizQuestion(VALUE, 2, "total"), "5", True),
        (QuizQuestion(VALUE, 2, "total"), " 5.0 ", True),
        (QuizQuestion(VALUE, 2, "total"), "6", False),
        (QuizQuestion(VALUE, 2, "total"), "five", False),
        (QuizQuestion(VALUE, 2, "total"), "total", False),
        (QuizQuestion(VALUE, 2, "total"), "__import__('os')", False),
        (QuizQuestion(VALUE, 2, "total"), "(", False),
        (QuizQuestion(VALUE, 2, "prices", sort="list"), "[2, 3]", True),
        (QuizQuestion(VALUE, 3, "name", sort="str"), "Ada L", True),
        (QuizQuestion(VALUE, 3, "name", sort="str"), "'Ada L'", True),
        (QuizQuestion(VALUE, 3, "name", sort="str"), "Ada", False),
        (QuizQuestion(LENGTH, 2, "long", sort="list"), "99", True),
        (QuizQuestion(LENGTH, 2, "long", sort="list"), "100", False),
    ],
)
def test_an_answer_is_right_where_a_run_says_so(question: QuizQuestion, answer: str, right: bool):
    whole = quiz.checking_program(program(*SHOP[: question.turn]), 9, quiz.answer_check(question, answer))
    verdict = quiz.read_verdict(whole, run_with_variables(whole))
    assert verdict.right == right
    assert verdict.given in ("5", "[2, 3]", "'Ada L'", "99")


def test_a_text_of_digits_is_a_text_and_yes_is_true():
    whole = program("code = '4' + '2'\nbig = 3 > 2")
    for name, sort, answer in [("code", "str", "42"), ("big", "bool", "yes")]:
        wanted = quiz.answer_check(QuizQuestion(VALUE, 1, name, sort=sort), answer)
        checking = quiz.checking_program(whole, 2, wanted)
        assert quiz.read_verdict(checking, run_with_variables(checking)).right


@pytest.mark.parametrize(("answer", "right"), [("5 Ada L", True), ("'5 Ada L'", True), ("5", False)])
def test_what_a_turn_prints_is_compared_without_its_blanks(answer: str, right: bool):
    question = asked(*SHOP)[0]
    assert quiz.compare_output(question, answer).right == right
    assert quiz.compare_output(question, answer).given == "5 Ada L"
