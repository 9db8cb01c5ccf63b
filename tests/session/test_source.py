"""Edits of single statements leave every other statement, comment and byte as it was."""

import ast
import io
import tokenize
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.sandbox.guest import source_file
from mtchat.sandbox.guest.program import report
from mtchat.session.source import replace_statements, split_lines

SIMPLE = (
    "x = 1",
    "é = 'ü; #'",
    "del a",
    "b = '''\n;\n'''",
    "c = (1,\n  2)",
    "d = \\\n  3",
    "pass",
    "(e)",
    "f: int = 1",
)
BLOCKS = (
    "if g: h = 1; i = 2",
    "for j in k: pass",
    "with l: m = 1",
    "@n  # of o\n@o(\n  1)\ndef p(): return 1; pass",
    "class q:\n    r = 1; s = 2  # inside\n\n    def t(self): pass",
    "try: u = 1\nfinally: v = 2",
    "if w:\n    pass\nelse:\n    if x:\n        y = 1; z = 2",
)
GAPS = ("; ", ";", " ;  ", "; \\\n ", " ; \x0c")
ENDS = ("\n", "  # why; not\n", ";\n", "; # é\n", "\n\n# above\n", "\r\n", "\r", "\n\x0c")


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Statements of every kind in lines of every kind."""
    text = draw(st.sampled_from(["", "# first\n", "\x0c", "\n"]))
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            text += draw(st.sampled_from(BLOCKS))
            text += draw(st.sampled_from([end for end in ENDS if not end.startswith(";")]))
        else:
            for _ in range(draw(st.integers(0, 3))):
                text += draw(st.sampled_from(SIMPLE)) + draw(st.sampled_from(GAPS))
            text += draw(st.sampled_from(SIMPLE)) + draw(st.sampled_from(ENDS))
    return text


def comments(code: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(code, newline=None).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def dumps(code: str) -> list[str]:
    return list(map(ast.dump, ast.parse(code).body))


@given(programs(), st.data())
def test_a_statement_put_in_the_place_of_another_changes_nothing_else(code: str, data: st.DataObject) -> None:
    body = ast.parse(code).body
    place = data.draw(st.integers(0, len(body) - 1))
    for fresh in ("new = 0", "def new():\n    pass", "new = 0  # new"):
        made = replace_statements(code, body, {place: [fresh]})
        wanted = dumps(code)
        wanted[place : place + 1] = dumps(fresh)
        assert dumps(made) == wanted
        simple = isinstance(body[place], ast.Assign | ast.Expr | ast.Pass | ast.Delete | ast.AnnAssign)
        if simple and fresh == "new = 0":
            assert comments(made) == comments(code)


@given(programs(), st.data())
def test_statements_taken_away_take_no_other_with_them(code: str, data: st.DataObject) -> None:
    body = ast.parse(code).body
    gone = data.draw(st.sets(st.integers(0, len(body) - 1)))
    made = replace_statements(code, body, dict.fromkeys(gone, ()))
    assert dumps(made) == [each for at, each in enumerate(dumps(code)) if at not in gone]


@given(programs())
def test_code_without_changes_is_the_code(code: str) -> None:
    assert replace_statements(code, ast.parse(code).body, {}) == code


@pytest.mark.parametrize("split", [split_lines, source_file.split_lines])
@pytest.mark.parametrize("odd", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_lines_of_code_are_those_that_python_counts(
    split: Callable[[str], list[str]], odd: str, end: str
) -> None:
    code = f"s = 1{end}# {odd}{end}t = '{odd}'{end}u = 2"
    node = ast.parse(code).body[-1]
    assert split(code)[node.lineno - 1] == "u = 2"


def test_a_traceback_shows_the_line_that_failed_after_a_form_feed() -> None:
    code = "x = 1\n\x0cy = '\u2028'\n1 / 0\n"
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile(code, "<turn 1>", "exec"), {})
    told = report.describe_frames(caught.value, ["<turn 1>"], [code])
    assert told == ["0", "3", "<module>", "1 / 0"]
    cache: dict[str, Any] = {}
    source_file.fill_linecache(cache, {"<turn 1>": code})
    assert cache["<turn 1>"][2] == ["x = 1\n", "\x0cy = '\u2028'\n", "1 / 0\n"]
