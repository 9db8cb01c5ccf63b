"""Assertions about functions: found in instructions, and run as code."""

import ast

import pytest

from mtchat.generate import generated_tests
from mtchat.generate.generated_tests import Assertion


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('E.g., to_binary(0xFF) = "11111111".', [Assertion("to_binary(255)", "'11111111'")]),
        ("f(3) = 3! = 6, f(2) = 2 + 2, f(x) = 3 times x, g(3) gives 5%, area(r) = 3.14 * r", []),
        ("f(2) = 4 and f(3) is 9", [Assertion("f(2)", "4")]),
        ("assert f(" + "1+" * 2000 + "1) == 2", []),
        ("assert f(await g()) == 2", []),
        ("f(1)=a" * 500, []),
        (
            "f(1, 2) should return [3], or g('a') -> 'b'.",
            [Assertion("f(1, 2)", "[3]"), Assertion("g('a')", "'b'")],
        ),
        ("assert f(1)==2\nassert not g(3)", [Assertion("f(1)", "2"), Assertion("bool(g(3))", "False")]),
        (">>> f([1.0], 0.5)\nFalse\n", [Assertion("f([1.0], 0.5)", "False")]),
        ("Call f(x) on the list, and then g(y).", []),
        ("The value of f(2) is unknown", []),
        (">>> f(", []),
        (
            '```python\ndef f(n):\n    """ Doubles.\n    >>> f(2)\n    4\n    """\n```',
            [Assertion("f(2)", "4")],
        ),
        (">>> f(1)\n>>> f(2)\n'a'\n", [Assertion("f(2)", "'a'")]),
    ],
)
def test_the_checks_that_a_text_gives_are_read(text: str, wanted: list[Assertion]):
    assert list(generated_tests.assertions_in(text)) == wanted


def test_checks_are_run_each_by_itself_and_say_what_came_of_them(capsys: pytest.CaptureFixture[str]):
    asked = [
        Assertion("f(2)", "4"),
        Assertion("f(3)", "0"),
        Assertion("f('a')", "1"),
        Assertion("g(1)", "1"),
        Assertion("h()", "1"),
    ]
    program = "def f(n):\n    print('noise')\n    return n * 2\n\ndef h():\n    raise SystemExit\n\n"
    exec(compile(program + generated_tests.checking_code(asked), "checks", "exec"), {})
    found = generated_tests.read_results(capsys.readouterr().out, len(asked))
    assert found.given == ("4", "6", "'aa'", "NameError", "SystemExit")
    assert found.passed == (True, False, False, False, False)


def test_a_value_that_the_program_cannot_compute_changes_nothing_of_what_a_call_gives(
    capsys: pytest.CaptureFixture[str],
):
    exec(
        compile(
            "def f(n):\n    return n\n" + generated_tests.checking_code([Assertion("f(3)", "math.pi")]),
            "checks",
            "exec",
        ),
        {},
    )
    found = generated_tests.read_results(capsys.readouterr().out, 1)
    assert (found.given, found.passed) == (("3",), (False,))


def test_checks_that_were_not_come_to_have_failed():
    found = generated_tests.read_results("4\nTrue\n6", 3)
    assert found.passed == (True, False, False)
    assert len(found.passed) == len(found.given) == 3


def test_only_checks_of_the_functions_at_hand_are_kept():
    both = [Assertion("f(1)", "2"), Assertion("sum([g(1)])", "2")]
    assert generated_tests.calling(both, ["g"]) == (both[1],)
    assert generated_tests.functions("def f(): ...\nclass A:\n    def g(self): ...\nasync def h(): ...") == (
        "f",
        "h",
    )


def test_code_of_checks_is_python_whatever_they_hold():
    ast.parse(generated_tests.checking_code([Assertion("f({'a': \"b's\"})", "'{}'")]))
