"""Renames keep to the rules of Python's scopes: programs do afterwards what they did before."""

import ast
import io
import itertools
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtchat.edits.rename import binds_name, rename_name
from mtchat.errors import MtchatError

ROWS = Path(__file__).parent.parent / "cases" / "edits"
# What a is renamed to b in: a variable of the module first, and local ones and attributes only without one.
RENAMED = [json.loads(line) for line in (ROWS / "renames.jsonl").read_text().splitlines()]
REFUSED = [json.loads(line) for line in (ROWS / "refused_renames.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", RENAMED, ids=lambda row: row["old"])
def test_a_rename_changes_what_means_the_name_and_nothing_else(row: dict[str, str]) -> None:
    assert rename_name([row["old"]], "a", "b") == (row["new"],)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row["code"])
def test_a_rename_that_is_not_safe_is_refused_with_the_reason(row: dict[str, str]) -> None:
    with pytest.raises(MtchatError, match=row["reason"]):
        rename_name([row["code"]], "a", "b")


def test_what_kind_of_name_is_meant_chooses_among_equal_names() -> None:
    codes = ["a = 1", "class C:\n    a = 2\ndef f(a): return C.a + a"]
    assert rename_name(codes, "a", "b") == ("b = 1", codes[1])
    assert rename_name(codes, "a", "b", "attribute") == (
        codes[0],
        "class C:\n    b = 2\ndef f(a): return C.b + a",
    )
    assert rename_name(codes, "a", "b", "parameter") == (
        codes[0],
        "class C:\n    a = 2\ndef f(b): return C.a + b",
    )


def test_a_rename_goes_through_all_turns() -> None:
    codes = ["def a(x):\n    return x", "", "print(a(x=1))", "a.calls = a(2)"]
    assert rename_name(codes, "a", "b") == (
        "def b(x):\n    return x",
        "",
        "print(b(x=1))",
        "b.calls = b(2)",
    )


@pytest.mark.parametrize(
    "code", ["a = 1", "def a(): pass", "class C:\n    def a(self): pass", "def f(a): pass"]
)
def test_a_name_that_the_program_binds_is_found(code: str) -> None:
    assert binds_name([code], "a")
    assert not binds_name([code, "("], "a")
    assert not binds_name([code], "c")


def test_code_that_is_nested_deeply_is_refused() -> None:
    with pytest.raises(MtchatError, match="nested too deeply"):
        rename_name(["a = 1" + " + 1" * 900], "a", "b")


def test_an_attribute_that_built_in_types_have_as_well_is_told_apart() -> None:
    code = "class C:\n    count = 0\nc, text = C(), 'aa'\nc.count += text.count('a') + [].count(1)"
    wanted = "class C:\n    number = 0\nc, text = C(), 'aa'\nc.number += text.count('a') + [].count(1)"
    assert rename_name([code], "count", "number") == (wanted,)
    with pytest.raises(MtchatError, match="not certain that this object"):
        rename_name([code, "def f(x): return x.count"], "count", "number")


@pytest.mark.parametrize("file", sorted((ROWS / "programs").glob("*.txt")), ids=lambda file: file.stem)
def test_programs_of_many_features_print_the_same_whatever_is_renamed(file: Path) -> None:
    codes = file.read_text(encoding="utf-8").split("#### next\n")
    said = output(codes)
    assert said
    assert "Error" not in said
    names = {name for code in codes for name in names_bound(code) if not name.startswith("__")}
    assert len(names) > 12
    for name, kind in itertools.product(sorted(names), ("", "attribute", "parameter")):
        made = rename_name(codes, name, "renamed_name", kind)
        assert made != tuple(codes)
        assert (output(made) or "").replace("renamed_name", name) == said.replace("renamed_name", name)


def names_bound(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Name(name, ast.Store()) | ast.arg(name) | ast.Attribute(_, name, ast.Store()):
                yield name
            case ast.FunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.alias(name, short):
                yield short or name


# Programs that run, with names used again in every kind of scope: what they print must stay the same.

NAMES = ("a", "c", "e")


@st.composite
def expressions(draw: st.DrawFn, depth: int = 0) -> str:
    name = draw(st.sampled_from(NAMES))
    if depth > 1:
        return name
    inner = draw(expressions(depth + 1))
    return draw(
        st.sampled_from(
            [
                name,
                f"({name} + {inner})",
                f"len(f'{{{name}}} {name} {{{inner}:>{{abs({name}) % 5}}}}')",
                f"sum({name} for {name} in range({inner} % 4))",
                f"sum([({name} := i) for i in range(3)]) + {name}",
                f"(lambda {name}: {name} + 1)({name}={inner})",
                f"sum({name} + j for j in range({inner} % 3) if j < {name})",
                f"len('%({name})s {name}' % {{'{name}': {inner}}})",
                f"len('{{{name}}}'.format({name}={inner}))",
                f"dict({name}={inner})['{name}']",
                f"({name} if {inner} > 2 else {inner})",
            ]
        )
    )


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """Statements in lines, in which every name has a number."""
    lines = list[str]()
    for _ in range(draw(st.integers(1, 3))):
        name, value = draw(st.sampled_from(NAMES)), draw(expressions())
        other = draw(st.sampled_from(NAMES))
        inner = draw(blocks(depth + 1)) if depth < 2 else ["pass"]
        kind = draw(st.integers(0, 11))
        number = draw(st.integers(0, 10**6))
        tail = draw(st.sampled_from(["", "  # a c e", ";", "; " + f"{other} = {other} + 1"]))
        starts = [f"{each} = {number % 7}" for each in NAMES]
        if kind < 2:
            lines.append(f"{name} = {value}{tail}")
        elif kind == 2:
            lines.append(f"{name} += {value}; {other} = ({name})")
        elif kind == 3:
            lines += [f"for {name} in range({value} % 4):", *indent(inner), f"else: {name} = 1"]
        elif kind == 4:
            lines.append(f"if {value} > 3: {name} = 1; {other} = {name}")
        elif kind == 5:
            given = draw(st.sampled_from([f"{name}={other}", other]))
            lines += [f"def f{number}({name}):", *indent([*starts[1:], *starts[:1], *inner])]
            lines += [f"    return {name}", f"{other} = f{number}({given})"]
        elif kind == 6:
            lines += [f"class C{number}:", *indent([f"{name} = {value}", f"{other} = {name} + 1"])]
            lines += [f"    def {draw(st.sampled_from(['m', 'n']))}(self): return self.{name}"]
            lines += [f"print(C{number}().{name}, C{number}.{other})"]
        elif kind == 7 and depth:
            lines += [f"def g{number}():", f"    nonlocal {name}", f"    {name} = {value}", f"g{number}()"]
        elif kind == 8:
            lines += [f"def h{number}():", f"    global {name}", f"    {name} = {number % 5}", f"h{number}()"]
        elif kind == 9:
            lines += [f"match {{'{name}': {value}}}:", f"    case {{'{name}': {name}}}: print({name})"]
        elif kind == 10:
            lines += ["try: raise ValueError", f"except ValueError as {name}: pass", f"{name} = {number % 9}"]
        else:
            lines += [f"with open('/dev/null') as {name}: pass", f"{name} = {value.replace(name, other)}"]
    return lines


def indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def output(codes: tuple[str, ...] | list[str]) -> str | None:
    """What a program prints, with what it has in the end; None if it does not run."""
    space: dict[str, Any] = {}
    written = io.StringIO()
    try:
        with redirect_stdout(written):
            for code in codes:
                exec(compile(code, "<turn>", "exec", dont_inherit=True), space)
    except Exception as error:
        return f"{type(error).__name__} {written.getvalue()}"
    return written.getvalue()


@settings(deadline=None, max_examples=80)
@given(st.lists(blocks(), min_size=1, max_size=3), st.sampled_from(["\n", "\r\n"]))
def test_a_renamed_program_prints_what_it_printed(parts: list[list[str]], end: str) -> None:
    codes = ["a = 1; c = 2\ne = 3", *(end.join([*lines, "print(a, c, e)"]) for lines in parts)]
    try:
        for code in codes:
            compile(code, "<turn>", "exec", dont_inherit=True)
    except SyntaxError:
        return  # such as a `global` after the first use of its name
    said = output(codes)
    for name, kind in itertools.product(NAMES, ("", "parameter", "attribute")):
        made = rename_or_keep(codes, name, kind)
        assert output(made) == said, "\n---\n".join(made)


def rename_or_keep(codes: list[str], name: str, kind: str) -> tuple[str, ...]:
    try:
        return rename_name(codes, name, "renamed", kind)
    except MtchatError:
        return tuple(codes)
