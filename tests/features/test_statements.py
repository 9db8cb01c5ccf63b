"""Code in plain words: rows of what is said, and the house's own code as a text that must all be read."""

from itertools import pairwise
from pathlib import Path

import pytest

import mtchat
from mtchat.features.explain.statements import code_parts
from mtchat.session.names import parse_module

FILES = sorted(Path(mtchat.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import math", "makes the module `math` available"),
        (
            "from os import path as p, sep",
            "makes `path` (called `p` here) and `sep` from the module `os` available",
        ),
        ("x = 3", "sets `x` to 3"),
        ("x = -3", "sets `x` to -3"),
        ("x = [1, 2]", "sets `x` to a list of 2 items"),
        ("x = [1]", "sets `x` to a list of 1 item"),
        ("x = {}", "sets `x` to an empty dictionary"),
        ("x = a - b * 2", "sets `x` to `a` minus (`b` times 2)"),
        ("x = a % 2 == 0", "sets `x` to (the remainder of `a` divided by 2) is equal to 0"),
        ("a, b = b, a + b", "sets `a` to `b` and `b` to `a` plus `b`, all at once"),
        ("yield a", "produces `a` and pauses here until the next value is needed"),
        ("x += 1", "adds 1 to `x`"),
        ("d['k'] = 1", 'sets the entry "k" of `d` to 1'),
        ("print()", "shows an empty line"),
        ("print('a', len(x))", 'shows the text "a" and the number of items in `x`'),
        ("x.append(2)", "adds 2 to the end of `x`"),
        (
            "for i in range(3): pass",
            "runs the indented lines below once for each of the whole numbers from 0 up to, but not "
            "including, 3, calling it `i`: does nothing; a placeholder for code to come",
        ),
        (
            "while True:\n    break",
            "repeats the indented lines below until something in them leaves the loop",
        ),
        ("if x:\n    y = 1", "runs the indented lines below only if `x` is true (not False, 0 or empty)"),
        (
            "if not x:\n    y = 1",
            "runs the indented lines below only if `x` is not true (it is False, 0 or",
        ),
        ("if not x > 1:\n    y = 1", "runs the indented lines below only if it is not true that `x` is gr"),
        (
            "x = [n * n for n in y if n > 1]",
            "sets `x` to `n` times `n` for each `n` of `y`, only where `n` is greater than 1",
        ),
        (
            "def f(a, b=1):\n    return a",
            "defines the function `f`, which takes `a` and `b`; the indented lines",
        ),
        ("x = max(d, key=d.get)", "sets `x` to the key of `d` whose value is the largest"),
        ("x = min(words, key=len)", "sets `x` to the shortest item of `words`"),
        ("x = sorted(y, reverse=True)", "sets `x` to a sorted list of the items of `y`, the largest first"),
        ("x = ', '.join(y)", 'sets `x` to the items of `y` joined into one text, with the text ", " between'),
    ],
)
def test_a_statement_is_said_in_words(code: str, words: str):
    first = code_parts(code)[0]
    assert first.words.startswith(words)
    assert first.sure


@pytest.mark.parametrize(
    "code",
    [
        "x = '%d' % 3",
        "x = folder / 'name'",
        "a = b = 3",
        "x = frame.groupby('a').mean()",
        "print(x, sep='')",
        "x = sorted(y, key=len)",
        "x = max(d, key=e.get)",
        "x = lambda: 1",
        "with open('a') as f:\n    pass",
    ],
)
def test_what_words_could_get_wrong_is_left_to_the_code(code: str):
    assert not code_parts(code)[0].sure


def test_a_name_with_a_meaning_of_its_own_is_not_taken_for_pythons():
    assert code_parts("x = sum(y)")[0].sure
    own = code_parts("x = sum(y)", "def sum(y):\n    return 0\nx = sum(y)")[0].words
    assert own == "sets `x` to the result of calling `sum` with `y`"
    assert not code_parts("x = sum(y)", "sum = max\nx = sum(y)")[0].sure
    assert not code_parts("print(1)", "from shop import print\nprint(1)")[0].sure


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("if a:\n    b = 1\nelse:\n    b = 2", "otherwise, runs the indented lines below"),
        (
            "for a in b:\n    c = 1\nelse:\n    c = 2",
            "if nothing left the loop early",
        ),
        ("try:\n    a = 1\nexcept E:\n    pass\nelse:\n    b = 2", "if no error occurred there"),
        ("try:\n    a = 1\nfinally:\n    b = 2", "in any case"),
        (
            "if a:\n    b = 1\nelif c > 2:\n    b = 2",
            "otherwise, runs the indented lines below only if `c`",
        ),
    ],
)
def test_else_means_what_it_belongs_to(code: str, words: str):
    lines = code.split("\n")
    at = next(number for number, line in enumerate(lines, start=1) if line.startswith(("el", "finally")))
    (found,) = [part for part in code_parts(code) if part.first == at]
    assert found.words.startswith(words)


def test_a_function_of_the_program_is_known_by_its_name():
    program = "def area(r):\n    return r\n"
    assert code_parts("print(area(2))", program)[0].words == "shows the result of calling `area` with 2"
    assert code_parts("area(x)", program)[0].words == "calls the function `area` with `x`"
    assert not code_parts("print(area(2))", f"{program}area = abs\n")[0].sure


def test_the_names_of_a_part_are_those_that_it_gives_values_to():
    assert [part.names for part in code_parts("a = 1\nb.c = 2\nd, e = f\ng += a\nfor h in a: pass")] == [
        ("a",),
        (),
        ("d", "e"),
        ("g",),
        ("h",),
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_of_any_code_is_in_one_part_and_in_their_order(path: Path):
    code = path.read_text(encoding="utf-8")
    found = code_parts(code)
    assert all(one.last < other.first for one, other in pairwise(found))
    covered = {line for part in found for line in range(part.first, part.last + 1)}
    bare = [
        number
        for number, line in enumerate(code.split("\n"), start=1)
        if line.strip() and not line.strip().startswith("#") and number not in covered
    ]
    assert bare == []
    assert all(part.words for part in found)


def test_what_is_not_python_has_no_parts():
    assert parse_module("for i in ra") is None
    assert code_parts("for i in ra") == ()
    assert code_parts("x = " + "(" * 5000 + ")" * 5000) == ()
