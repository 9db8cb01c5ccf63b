"""Which turns use what others made: names that are read, bound and changed, as code shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.session.names import Use, describe_users, find_uses, names_of, turns_depending_on
from mtchat.session.turn import Turn


def path(*chunks: str) -> list[Turn]:
    return [Turn("", chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("y = x + 1", {"x"}),
        ("x = 1\ny = x", set()),
        ("x = x + 1", {"x"}),
        ("x += 1", {"x"}),
        ("print(x)\nx = 1", {"x", "print"}),
        ("def f(a):\n    return a + later\nlater = 1", set()),
        ("def f(a, b=d):\n    c = a\n    return c + other", {"d", "other"}),
        ("g = lambda u: u + v", {"v"}),
        ("[q for q in xs if q in ys]", {"xs", "ys"}),
        (
            "class C(Base):\n    size = width\n    def f(self):\n        return unit",
            {"Base", "width", "unit"},
        ),
        ("for x in xs:\n    total += x", {"xs", "total"}),
        ("with f(name) as file:\n    file.read()", {"f", "name"}),
        ("try:\n    x = go()\nexcept Bad as error:\n    y = str(error)", {"go", "Bad", "str"}),
        (
            "match x:\n    case [a, *rest]:\n        b = a\n    case Point(z=c):\n        b = c",
            {"x", "Point"},
        ),
        ("if a:\n    b = 1\nelse:\n    b = c", {"a", "c"}),
        ("while (n := n - 1):\n    pass", {"n"}),
        ("import os\nos.getcwd()", set()),
        ("x = (", set()),
    ],
)
def test_a_chunk_reads_what_it_has_not_bound_itself(code, reads):
    assert names_of(code).reads == reads


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("xs.sort()", {"xs"}),
        ("xs[0].name = 1", {"xs"}),
        ("del d['a']", {"d"}),
        ("d['a'] += 1", {"d"}),
        ("random.shuffle(xs)", {"random", "xs"}),
        ("fill(xs)", {"xs"}),
        ("for x in xs:\n    found.append(x)", {"found", "x"}),
        ("print(xs)", set()),
        ("y = xs.copy()", set()),
        ("def f():\n    xs.sort()", set()),
    ],
)
def test_what_is_changed_in_place_is_seen(code, changes):
    assert names_of(code).changes == changes


def test_a_use_is_of_the_turn_that_bound_the_name_last_and_of_those_that_changed_it_since():
    assert find_uses(["x = []", "x = [1]", "x.append(2)", "print(x)"]) == (
        Use(3, "x", 2),
        Use(4, "x", 2),
        Use(4, "x", 3),
    )


def test_what_comes_of_a_turn_is_reached_over_others():
    assert turns_depending_on(path("a = 1", "b = a", "c = 2", "d = b", "e = c"), [1]) == {1, 2, 4}


def test_the_turns_that_use_a_turn_are_said_together():
    turns = path("def f(): ...\nn = 1\nm = 2", "m", "f(n)", "f()", "f(n)", "0")
    assert describe_users(turns, 1) == "turn 2 uses `m`; turns 3, 4 and 5 use `f`; turns 3 and 5 use `n`"
    assert describe_users(turns, 6) == ""


def test_of_many_names_a_few_are_said():
    turns = path("a = b = c = d = e = 1", "print(a, b, c, d, e)")
    assert describe_users(turns, 1) == "turn 2 uses `a`, `b`, `c` and 2 more names"


@given(code=st.text(st.characters(exclude_categories=())) | st.text("xyf=:()[],.'\\ \n\t#+", max_size=30))
def test_no_text_makes_the_reader_fail(code):
    names_of(code)


@pytest.mark.parametrize("code", ["-" * 5000 + "1", "a+" * 3000 + "1", "x" + ".y" * 3000 + " = 1"])
def test_code_that_is_nested_deeply_is_read_as_far_as_it_goes(code):
    assert names_of(code).reads <= {"a", "x"}
