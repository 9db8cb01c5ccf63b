"""Folding: what stays of code, that it is Python still, and that no name of it is lost."""

import ast
import bisect
import calendar
import cmd
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtchat.edits.fold import drop_folded_copies, fold_code
from mtchat.session.names import bound_names, parse_module
from tests import CASES

LONG = "print('a long line that nobody needs to read again', 1, 2, 3)"
NUMBERS = ", ".join(map(str, range(40)))

FOLDED = sorted((CASES / "folding").glob("*.txt"))
STAY = [
    "",
    "x = 1",
    "# only a remark",
    "def f(:\n    pass",
    f"try:\n    import numpy\n    {LONG}\nexcept ImportError:\n    numpy = None",
    f"if x:\n    def f():\n        return 1\n    {LONG}",
    f"x = [y := 1, {NUMBERS}]",
    "lone = '\ud800'",
    "(" * 5000,
]


@pytest.mark.parametrize("case", FOLDED, ids=lambda case: case.stem)
def test_folding_keeps_what_later_code_needs(case: Path):
    code, _, brief = case.read_text(encoding="utf-8").partition(f"\n{20 * '='}\n")
    assert fold_code(code) == brief.rstrip("\n")
    assert parse_module(brief) is not None


@pytest.mark.parametrize("code", STAY)
def test_what_cannot_be_folded_or_would_not_be_shorter_stays_as_it_is(code: str):
    assert fold_code(code) == code


def test_line_ends_of_another_system_fold_as_well():
    code = f"def f(x):\r\n    {LONG}\r\n    return x\r\n"
    assert fold_code(code) == "def f(x):\n    ..."


NAMES = st.sampled_from(["a", "b", "total", "words", "é"])
VALUES = st.sampled_from(
    [
        "1",
        f"[{NUMBERS}]",
        f"({NUMBERS})",
        f"f({NUMBERS})",
        f"'{NUMBERS}'",
        f'"""{NUMBERS}\n\n# x"""',
        "lambda: 1",
    ]
)
LINES = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("{0}, *{1} = {2}, {2}".format, NAMES, NAMES, VALUES),
    st.builds("{}: list = {}".format, NAMES, VALUES),
    st.builds("{} += {}".format, NAMES, VALUES),
    st.builds("import os.path as {}".format, NAMES),
    st.builds("print({})".format, VALUES),
    st.builds("# {}".format, NAMES),
    st.just("pass"),
)
HEADS = st.one_of(
    st.builds("def {}(x, *y):".format, NAMES),
    st.builds("@f\nclass {}:".format, NAMES),
    st.builds("for {} in {}:".format, NAMES, NAMES),
    st.builds("while {}:".format, NAMES),
    st.builds("with open({}) as {}:".format, NAMES, NAMES),
    st.builds("if ({} := 1):".format, NAMES),
    st.just("try:"),
)


def block(head: str, body: list[str]) -> str:
    inner = "\n".join(f"    {line}" for part in [*body, "pass"] for line in part.split("\n"))
    tail = f"\nfinally:\n    done = [{NUMBERS}]" if head == "try:" else ""
    return f"{head}\n{inner}{tail}"


PARTS = st.recursive(LINES, lambda parts: st.builds(block, HEADS, st.lists(parts, max_size=3)), max_leaves=12)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(PARTS, max_size=6).map("\n".join))
def test_folded_code_is_python_loses_no_name_and_folds_no_further(code: str):
    ast.parse(code)
    brief = fold_code(code)
    ast.parse(brief)
    assert bound_names(code) <= bound_names(brief)
    assert len(brief) <= len(code)
    assert fold_code(brief) == brief


@settings(deadline=None)
@given(st.text(st.sampled_from("adef xyz=:()[]{}'\"\n\t #\\.,1\r\f;@é"), max_size=60))
def test_any_text_at_all_can_be_folded(code: str):
    brief = fold_code(code)
    assert bound_names(code) <= bound_names(brief)
    assert (parse_module(code) is None) or parse_module(brief) is not None


def test_pythons_own_library_keeps_all_its_names_and_gets_much_shorter():
    sources = [Path(module.__file__).read_text(encoding="utf-8") for module in (ast, bisect, calendar, cmd)]
    assert all(bound_names(source) <= bound_names(fold_code(source)) for source in sources)
    assert sum(map(len, map(fold_code, sources))) < 0.6 * sum(map(len, sources))


def test_a_folded_definition_that_is_said_again_is_no_new_code_and_the_rest_stays():
    brief = fold_code(
        f"@cache\ndef f(x):\n    {LONG}\n    return x\n\nclass A:\n    def g(self):\n        {LONG}\n\nx = 1"
    )
    said = f"# again\n{brief}\n\ndef h(x):\n    ...\nprint(f(1))"
    assert drop_folded_copies(said, [brief]) == "# again\n\n\nx = 1\n\ndef h(x):\n    ...\nprint(f(1))"
    assert drop_folded_copies(brief.replace("f(x)", "f(y)"), [brief]).startswith("@cache\ndef f(y)")
    assert drop_folded_copies(said, []) == said
