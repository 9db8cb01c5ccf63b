"""What is read of a program part by part is what is read of it as a whole."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mtchat.generate.postprocess import check_names, undefined_names
from mtchat.session.names import bound_names, names_bound_in

CHUNKS = (
    *("x = 1", "y = x", "print(y)", "del x", "x: int", "x = x", "import a.b", "from os import *"),
    *("def f():\n    print(x)\n    x = 1", "def g():\n    return h()", "def h():\n    return x", "lambda: y"),
    *("def k():\n    global z\n    z = 1", "print(z)", "global x", "class A:\n    b = x", "[x for x in y]"),
    *("if x:\n    import json\n\nelse:\n    w = 1", "s = '''a\n\nb = c\n\n'''", "for i in y:\n    pass"),
    *(
        "try:\n    q\nexcept NameError as e:\n    pass",
        "print(e)",
        "def f():\n\n    return y",
        "(",
        "  x = 1",
    ),
    *("from __future__ import annotations", "__all__ = ['nope']", "@x\ndef d(v: 'Q') -> x: ...", "# words"),
)
PROGRAMS = st.lists(st.sampled_from(CHUNKS), max_size=7).map("\n\n".join)


@settings(max_examples=200, deadline=None)
@given(PROGRAMS)
def test_undefined_names_are_those_of_the_whole_program(program: str) -> None:
    assert undefined_names(program) == check_names(program)


@settings(max_examples=200, deadline=None)
@given(PROGRAMS)
def test_bound_names_are_those_of_the_whole_program(program: str) -> None:
    assert bound_names(program) == (names_bound_in(program) or frozenset())
