"""Repairs by rule, the names that a program lacks, and what can be seen of an instruction's wishes."""

import ast
import sys

import pytest

from mtchat.generate import generated_tests, requirements
from mtchat.generate.generated_tests import Assertion
from mtchat.generate.postprocess import apply_rules, compiles, undefined_names
from mtchat.session.outcome import Outcome

BEFORE = "my_numbers = [1, 2]\n\ndef total(values):\n    return sum(values)\n"


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("x = math.sqrt(2)", "import math\nx = math.sqrt(2)"),
        ("c = Counter('aab')", "from collections import Counter\nc = Counter('aab')"),
        ("a = np.array([1])", "import numpy as np\na = np.array([1])"),
        ("    x = 1\n    y = 2", "x = 1\ny = 2"),
        ("\tx = 1", "x = 1"),
        ("x = 1\ny = (2 +", "x = 1"),
        ("def f():\n    return 1\n\ndef g():\n    s = '", "def f():\n    return 1"),
        ("return 3", "print(3)"),
        (
            "if x:\n    return 'é'\nelse:\n    return (1,\n      2)",
            "if x:\n    print('é')\nelse:\n    print((1,\n      2))",
        ),
        ("return(1) + 2", "print((1) + 2)"),
        ("print(my_number)", "print(my_numbers)"),
        ("print(myNumbers, a.myNumbers)", None),
        ("s = 'a\u2028b'\nprint(my_number)", "s = 'a\u2028b'\nprint(my_numbers)"),
        ("total(my_number, my_number=1)", "total(my_numbers, my_number=1)"),
        ("x = 1\n    y = 2", "x = 1"),
    ],
)
def test_what_can_only_have_been_meant_in_one_way_is_mended(code: str, wanted: str | None):
    mended = apply_rules(code, BEFORE + "x = 0\na = 0\n")
    if wanted is None:
        assert mended == "print(my_numbers, a.myNumbers)"
    else:
        assert mended == wanted
    assert compiles(mended)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "x = 1",
        "def f():\n    return 1",
        "class A:\n    def f(self):\n        return 1",
        "print(zzz)",
        "this is not Python at all",
        "x = (\ny = 1\nz = 2\nprint(x)",
        "def f():\n    return np",
        "x: 'Later' = 1",
        "def f(a):\n    return lambda: a",
        "from __future__ import annotations\n\ndef f(xs: List[int]) -> int: ...",
        "def f():\n    print(total)\n    total = 3",
        "x=1\rreturn x",
        "f(my_number=my_number_of_others)",
        "print(f'{my_number}', my_number)" if sys.version_info < (3, 12) else "",
        "return",
    ],
)
def test_what_is_whole_or_has_no_one_meaning_stays(code: str):
    assert apply_rules(code, BEFORE + "import numpy as np\n") == code


@pytest.mark.parametrize("deep", ["y = " + "1+" * 1200 + "1", "y = a" + ".b()" * 900])
def test_code_that_is_nested_too_deeply_to_look_into_is_no_error(deep: str):
    assert compiles(apply_rules(f"{deep}\nreturn y", BEFORE))


def test_a_misspelled_name_with_two_likely_meanings_stays():
    assert apply_rules("print(my_value)", "my_values = 1\nmyValue = 2\n") == "print(my_value)"


@pytest.mark.parametrize("name", ["ma", "mi"])
def test_short_names_are_not_taken_for_others(name: str):
    assert apply_rules(f"print({name})", "max_ = 1\nmit = 2\n") == f"print({name})"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("print(x)", ("x",)),
        ("def f():\n    return y + len([])\n", ("y",)),
        ("import numpy as np\nnp.zeros(1)", ()),
        ("for i in range(3):\n    print(i)", ()),
        ("x = (", ()),
        ("from math import *\nsqrt(2)", ()),
    ],
)
def test_names_that_nothing_binds_are_found(source: str, wanted: tuple[str, ...]):
    assert undefined_names(source) == wanted


SAID = Outcome(outputs=("", "6\n"))
SILENT = Outcome(outputs=("", ""))


@pytest.mark.parametrize(
    ("instruction", "chunk", "outcome", "wanted"),
    [
        ('Assign 3 to a variable named "total".', "total = 3", SILENT, ()),
        ('Assign 3 to a variable named "total".', "x = 3", SILENT, ("does not bind total",)),
        ("Sum them and store as sum_numbers.", "s = 3", SILENT, ("does not bind sum_numbers",)),
        ("Print the result.", "print(6)", SAID, ()),
        ("Print the result.", "y = 6", SILENT, ("prints nothing",)),
        ("Compute it.", "print(6)", SAID, ("prints what was not asked for",)),
        ("Return the larger one.", "print(6)", SAID, ()),
        ("Write a function that adds.", "def add(a, b):\n    return a + b", SILENT, ()),
        ("Write a function that adds.", "c = 1 + 2", SILENT, ("defines no function",)),
        ("Write a function that prints hello.", "def f():\n    print('hello')", SILENT, ()),
        ("Rotate known by count steps.", "r = known[1:]", SILENT, ("does not use count",)),
        ("Rotate known by count steps.", "r = known[count:]", SILENT, ()),
    ],
)
def test_a_wish_that_can_be_seen_is_seen_to_be_unmet(
    instruction: str, chunk: str, outcome: Outcome, wanted: tuple[str, ...]
):
    program = f"known = [1]\ncount = 2\n{chunk}\n"
    assert requirements.unmet_requirements(instruction, chunk, program, outcome) == wanted


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
