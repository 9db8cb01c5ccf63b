"""The names that code binds: read by the compiler, and no code makes the reader fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.session.names import bound_names, parses


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("x = 1\ny: int = x", {"x", "y"}),
        ("import numpy as np\nfrom os import path", {"np", "path"}),
        ("def f(a):\n    b = a\nclass C:\n    d = 1", {"f", "C"}),
        ("for i in range(3):\n    pass", {"i"}),
        ("if (n := 3):\n    pass", {"n"}),
        ("print(x)\nx.y = 1\n[q for q in x]", set()),
        ('pattern = "\\d"', {"pattern"}),
        ("x = 1 +", set()),
        ("", set()),
    ],
)
def test_the_names_are_those_bound_at_top_level(code, names):
    assert bound_names(code) == names


@pytest.mark.parametrize("code", ["x = (", "\0", "x = '\ud800'", "-" * 100_000 + "1", "a+" * 100_000 + "1"])
def test_code_that_the_compiler_cannot_take_does_not_parse(code):
    assert not parses(code)
    assert bound_names(code) == frozenset()


@given(code=st.text(st.characters(exclude_categories=())) | st.text("x=:()'\"\\\n \t#", max_size=20))
def test_no_text_makes_the_reader_fail(code):
    assert parses(code) or not bound_names(code)
