"""Repairs by rule, the names that a program lacks, and what can be seen of an instruction's wishes."""

import pytest

from mtchat.generate.postprocess import apply_rules, compiles, undefined_names

BEFORE = "my_numbers = [1, 2]\n\ndef total(values):\n    return sum(values)\n"


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("x = math.sqrt(2)", "import math\nx = math.sqrt(2)"),
        (
            "'What it is.'  # so\nfrom __future__ import annotations\nx = math.sqrt(2)",
            "'What it is.'  # so\nfrom __future__ import annotations\nimport math\nx = math.sqrt(2)",
        ),
        (
            "from __future__ import annotations\n\ndef f(xs: List[int]) -> int: ...",
            "from __future__ import annotations\nfrom typing import List\n\ndef f(xs: List[int]) -> int: ...",
        ),
        ("'What it is.'; x = math.pi", "'What it is.'; import math; x = math.pi"),
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
        ("x=1\rreturn x", "x=1\rprint(x)"),
        ("print(f'{my_number} my_number', my_number)", "print(f'{my_numbers} my_number', my_numbers)"),
        ("return \\\n  (x),  # why", "print((x),)  # why"),
        (
            "def f(my_number): return my_number\nf(my_number)",
            "def f(my_number): return my_number\nf(my_numbers)",
        ),
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
        "def f():\n    print(total)\n    total = 3",
        "f(my_number=my_number_of_others)",
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
