"""Statements that do again what earlier code did: dropped where that has no effect, and kept elsewhere."""

import ast
import io
from contextlib import redirect_stdout

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtchat.edits.repeats import drop_repeats, only_repeats

F = "def f(n, by=2):\n    return n * by"
C = 'class C:\n    """A count."""\n    start = 0\n\n    def size(self):\n        return 1'

DROPPED = {
    "import": ("import re", "import re"),
    "import with a name": ("import numpy as np", "import numpy as np"),
    "imported names": ("from math import sqrt, pi", "from math import pi"),
    "imported submodule": ("import os.path\nimport os", "import os.path"),
    "function": (F, F),
    "function in other layout": (F, F.replace("n * by", "(n * by)  # twice")),
    "class": (C, C),
    "number": ("n = 5", "n = 5"),
    "text": ("s = 'a'", 's = "a"'),
    "several names": ("a = b = 1", "a = b = 1"),
    "list": ("xs = [3, 1]\nprint(xs, len(xs))\nys = sorted(xs)\nfor x in xs:\n    print(x)", "xs = [3, 1]"),
    "list of lists": ("g = [[1], [2]]\nprint(g)", "g = [[1], [2]]"),
    "dictionary": ("d = {'a': 1}\nks = [k for k, v in d.items()]\nv = d['a']", "d = {'a': 1}"),
    "computed": ("xs = [3, 1]\nbig = max(xs)", "big = max(xs)"),
    "chosen": ("xs = [3, 1]\nys = [x * 2 for x in xs if x > 1]", "ys = [x * 2 for x in xs if x > 1]"),
    "text of a value": ("n = 2\ns = f'{n}!'", "s = f'{n}!'"),
    "method of a text": ("s = 'a b'\nws = s.lower().split()\nprint(ws)", "ws = s.lower().split()"),
    "values of a dictionary": ("d = {'a': 1}\nm = max(d.values())", "m = max(d.values())"),
    "annotated": ("n: int = 5", "n: int = 5"),
    "read in a function": ("xs = [1]\ndef g():\n    return len(xs)", "xs = [1]"),
}
KEPT = {
    "import since shadowed": ("import re\nre = 1", "import re"),
    "import under a condition": ("if len('a'):\n    import re", "import re"),
    "other name of an import": ("import numpy", "import numpy as np"),
    "future": ("x = 1", "from __future__ import annotations"),
    "star": ("from math import *\nn = 1", "n = 1"),
    "function since bound": (f"{F}\nf = 2", F),
    "other function": (F, F.replace("by=2", "by=3")),
    "decorated function": (f"import functools\n@functools.cache\n{F}", f"@functools.cache\n{F}"),
    "function with state": (f"{F}\nf.calls = 1", F),
    "default that is computed": ("k = 1\ndef f(n=[k]):\n    return n", "def f(n=[k]):\n    return n"),
    "class with state": ("class C:\n    n = 0\nC.n += 1", "class C:\n    n = 0"),
    "class counting itself": (
        "class C:\n    n = 0\n    def __init__(self):\n        type(self).n = 1",
        "class C:\n    n = 0\n    def __init__(self):\n        type(self).n = 1",
    ),
    "class with a base": ("class B:\n    pass\nclass C(B):\n    pass", "class C(B):\n    pass"),
    "number since changed": ("n = 5\nn += 1", "n = 5"),
    "number deleted": ("n = 5\ndel n", "n = 5"),
    "number a loop bound": ("n = 5\nfor n in [1]:\n    pass", "n = 5"),
    "number a function changes": ("n = 5\ndef g():\n    global n\n    n = 6\ng()", "n = 5"),
    "list since changed": ("xs = []\nxs.append(1)", "xs = []"),
    "list part changed": ("xs = [1]\nxs[0] = 2", "xs = [1]"),
    "list with another name": ("xs = [1]\nys = xs\nys.append(2)", "xs = [1]"),
    "list given away": ("def g(a):\n    a.append(1)\nxs = [1]\ng(xs)", "xs = [1]"),
    "list that a function changes": ("def g():\n    xs.append(1)\nxs = [1]\ng()", "xs = [1]"),
    "list of lists whose row is changed": (
        "g = [[1], [2]]\nfor row in g:\n    row.append(0)",
        "g = [[1], [2]]",
    ),
    "list of a list with a name": ("xs = [1]\ng = [xs]\nxs.append(2)\nb = g == [[1]]", "b = g == [[1]]"),
    "computed from what changed": ("xs = [3, 1]\nbig = max(xs)\nxs.append(9)", "big = max(xs)"),
    "computed from another name of it": (
        "xs = [3]\nys = xs\nbig = max(xs)\nys.append(9)",
        "big = max(xs)",
    ),
    "builtin of the user": (
        "def max(a):\n    a.append(1)\n    return 1\nxs = [3]\nb = max(xs)",
        "b = max(xs)",
    ),
    "call of a function": ("def g():\n    return 1\nn = g()", "n = g()"),
    "view of a dictionary": ("d = {'a': 1}\nv = d.values()\nd['b'] = 2", "v = d.values()"),
    "list of words since changed": ("ws = 'a b'.split()\nws.append('c')", "ws = 'a b'.split()"),
    "method that changes": ("xs = [1, 2]\nn = xs.pop()", "n = xs.pop()"),
    "method": ("import io\nf = io.StringIO('ab')\nc = f.read(1)", "c = f.read(1)"),
    "print": ("print(1)", "print(1)"),
    "exec": ("n = 1\nexec('n = 2')", "n = 1"),
    "iterator": ("xs = [1]\nz = zip(xs)\nlist(z)", "z = zip(xs)"),
    "broken before": ("n = 1\nx = (", "n = 1"),
}
END = "\nprint('end')"


@pytest.mark.parametrize("case", DROPPED)
def test_a_repetition_without_effect_is_dropped(case: str) -> None:
    before, again = DROPPED[case]
    assert drop_repeats(again + END, before) == END.strip()


@pytest.mark.parametrize("case", KEPT)
def test_what_may_have_an_effect_is_kept(case: str) -> None:
    before, again = KEPT[case]
    assert drop_repeats(again + END, before) == again + END


def test_a_chunk_that_only_repeats_stays() -> None:
    assert drop_repeats("import re", "import re") == "import re"
    assert drop_repeats("import re\nn = 1", "import re\nn = 1") == "import re\nn = 1"


@pytest.mark.parametrize(
    ("code", "only"),
    [
        ("import re", True),
        ("n = 1\nimport re", True),
        ("n = 1\nprint(n)", False),
        ("", False),
        ("# n", False),
    ],
)
def test_code_that_does_nothing_new_is_told(code: str, only: bool) -> None:
    assert only_repeats(code, "import re\nn = 1") is only


def test_a_repetition_within_the_code_itself_is_dropped() -> None:
    assert drop_repeats("import re\nn = 1\nimport re\nprint(n)", "") == "import re\nn = 1\nprint(n)"


def test_comments_above_go_with_a_statement_unless_they_are_about_the_next_too() -> None:
    code = "# Import.\nimport re\n\n# The number.\nn = 1\nm = 2\n\n# Print it.\nprint(m)  # now"
    expected = "# The number.\nm = 2\n\n# Print it.\nprint(m)  # now"
    assert drop_repeats(code, "import re\nn = 1") == expected


def test_a_comment_with_a_blank_line_below_goes_if_another_comment_follows() -> None:
    code = "# Import.\n\nimport re\n\n# Print.\n\nprint(1)"
    assert drop_repeats(code, "import re") == "# Print.\n\nprint(1)"
    code = "# All of it.\n\nimport re\n\nprint(1)"
    assert drop_repeats(code, "import re") == "# All of it.\n\nprint(1)"


def test_blank_lines_around_what_is_dropped_become_one_gap() -> None:
    code = f"x = 0\n\n\n{F}\n\n\nprint(f(x))"
    assert drop_repeats(code, F) == "x = 0\n\n\nprint(f(x))"


def test_statements_that_share_a_line_stay() -> None:
    assert drop_repeats("import re; n = 1\nprint(n)", "import re") == "import re; n = 1\nprint(n)"


NAMES = st.sampled_from("abc")
VALUES = st.sampled_from(
    ["1", "[1, 2]", "[[1], [2]]", "{'k': 1}", "a", "sorted(b)", "max(b)", "len(a)", "[a, b]"]
)
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("{}.append(3)".format, NAMES),
    st.builds("{}[0] = 7".format, NAMES),
    st.builds("{} += {}".format, NAMES, st.sampled_from(["1", "[4]", "b"])),
    st.builds("for {} in {}:\n    pass".format, NAMES, NAMES),
    st.builds("for row in {}:\n    row.append(0)".format, NAMES),
    st.builds("def f():\n    {}.append(5)".format, NAMES),
    st.builds("def f({}={}):\n    return 1".format, NAMES, VALUES),
    st.sampled_from(["f()", "import re", "re = a", "import math as a", "class C:\n    n = 0", "C.n = 5"]),
    st.builds("print({})".format, NAMES),
)
CHUNKS = st.lists(STATEMENTS, min_size=1, max_size=6)


def state_after(*codes: str) -> tuple[str, dict[str, str]] | None:
    """What a program prints and leaves; None where it fails."""
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()) as out:
        try:
            for code in codes:
                exec(compile(code, "program", "exec"), names)
        except Exception:
            return None
    plain = {name: repr(names.get(name)) for name in "abc" if not callable(names.get(name))}
    counted = getattr(names.get("C"), "n", None)
    return out.getvalue(), {**plain, "C.n": repr(counted)}


@settings(max_examples=300)
@given(CHUNKS, CHUNKS, CHUNKS)
def test_dropping_changes_nothing_that_the_program_does(before, new, later) -> None:
    first, second = "\n".join(before), "\n".join([*new, *before[:2], *new[:1]])
    dropped = drop_repeats(second, first)
    assert len(ast.parse(dropped).body) <= len(ast.parse(second).body)
    whole = state_after(first, second, "\n".join(later))
    assert whole is None or state_after(first, dropped, "\n".join(later)) == whole
