"""Edits of single statements leave every other statement, comment and byte as it was."""

import ast
import io
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.edits.statements import (
    fixed_lines,
    keep_statements,
    read_statements,
    replace_statements,
    shift_indent,
)
from mtchat.edits.text import apply_edits
from mtchat.edits.tree import BrokenCodeError

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
        made = replace_statements(code, {place: [fresh]})
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
    made = replace_statements(code, dict.fromkeys(gone, ()))
    assert dumps(made) == [each for at, each in enumerate(dumps(code)) if at not in gone]


@given(programs())
def test_code_without_changes_is_the_code(code: str) -> None:
    assert replace_statements(code, {}) == code


@given(programs(), st.data())
def test_the_text_of_every_other_statement_stays_byte_for_byte(code: str, data: st.DataObject) -> None:
    before = read_statements(code)
    texts = [code[each.start : each.end] for each in before.statements]
    place = data.draw(st.integers(0, len(texts) - 1))
    for fresh in (["new = 0"], ["def new():\n    pass"], ["new = 0", "new = 1"], []):
        made = replace_statements(code, {place: fresh})
        after = [made[each.start : each.end] for each in read_statements(made).statements]
        assert after == [*texts[:place], *fresh, *texts[place + 1 :]]
        kept = [at for at in range(len(texts)) if at != place]
        assert fresh or keep_statements(code, kept) == made


@given(programs(), st.data(), st.sampled_from(["    ", "\t", " "]))
def test_a_member_of_a_class_put_in_the_place_of_another_changes_nothing_else(
    code: str, data: st.DataObject, indent: str
) -> None:
    inner = code.strip("\x0c\n").replace("\x0c", "").replace("\r\n", "\n").replace("\r", "\n").rstrip()
    whole = f"a = 1\nclass A:\n{indent}m = 1\n{indent}" + inner.replace("\n", f"\n{indent}") + "\nb = 2\n"
    try:
        block = read_statements(whole).inner(1)
    except BrokenCodeError:
        return  # a string or a comment in which the margin cannot stand
    place = data.draw(st.integers(0, len(block.statements) - 1))
    made = apply_edits(whole, block.replacements({place: [f"def new():\n{indent}  pass"]}))
    again = read_statements(made)
    assert [made[each.start : each.end] for each in again.statements[::2]] == ["a = 1", "b = 2"]
    texts = [whole[each.start : each.end] for each in block.statements]
    texts[place] = f"def new():\n{indent}  pass"
    members = again.inner(1).statements
    assert [made[each.start : each.end] for each in members] == texts


@given(programs(), st.booleans())
def test_members_that_are_added_stand_after_the_others(code: str, one_line: bool) -> None:
    inner = code.strip("\x0c\n").replace("\x0c", "").replace("\r\n", "\n").replace("\r", "\n").rstrip()
    body = inner.replace("\n", "\n  ")
    whole = f"class A: {inner}  # why\nb = 2\n" if one_line else f"class A:\n  m = 1\n  {body}\nb = 2\n"
    try:
        block = read_statements(whole).inner(0)
    except BrokenCodeError:
        return
    texts = [whole[each.start : each.end] for each in block.statements]
    made = apply_edits(whole, block.additions(["def new():\n      pass"]))
    again = read_statements(made).inner(0)
    assert [made[each.start : each.end] for each in again.statements] == [*texts, "def new():\n      pass"]
    assert comments(made) == comments(whole)


def test_another_indentation_leaves_strings_as_they_are() -> None:
    code = "class A:\n  def f():\n    a = '''\n  b'''\n    return f'''\n  {a}'''\n"
    block = read_statements(code).inner(0)
    member = block.statements[0]
    made = shift_indent(code, member.start, member.end, block.indent, "\t")
    assert made == "def f():\n\t  a = '''\n  b'''\n\t  return f'''\n  {a}'''"


@pytest.mark.parametrize(
    ("code", "fixed"),
    [
        ("a = '''\nb\n'''\nc", {1, 2}),
        ("  a = f'''{\nb}'''\n  c", {1}),
        ("def f():\n  '''a\n  b'''\n  return '''\n'''", {4}),
        ("a = (\n1)", set()),
        ("a = '''\nb", set()),
    ],
)
def test_lines_within_strings_are_known(code: str, fixed: set[int]) -> None:
    assert fixed_lines(code) == fixed


def test_statements_of_broken_code_are_not_touched() -> None:
    with pytest.raises(BrokenCodeError, match=r"not valid Python|syntax error"):
        replace_statements("x = (\n", {0: ["y = 1"]})
