"""Python that the user wrote is taken as code, word for word; English that happens to parse is not."""

from pathlib import Path

import pytest

from mtchat.errors import ExitCode, UsageError
from mtchat.features.own_code.user_code import code_in, is_code
from mtchat.repl.app import dispatch
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, Turn
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said
from tests.support.scripts import RUN_NOWHERE, played

TOTAL = Session().extend((Turn("begin", "total = 1\nxs = [1]\n\ndef mean(a):\n    return a"),))
LONG = "import csv\nimport json\n\ndef f(a):\n    return a\n\nprint(f(1))"


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "x = 5",
        "x, y = 1, 2",
        "import os",
        "import numpy as np",
        "from math import pi",
        "print(3)",
        "print(total)",
        "mean(xs)",
        "xs.append(4)",
        "xs[0]",
        "total += 1",
        "for x in xs:\n    print(x)",
        "def f():\n    return 1",
        "@dec\nclass A:\n    pass",
        "with open('f') as f: f.read()",
        "del total",
        "assert total",
        "[x * x for x in xs]",
        "2 ** 10",
        "name: str = 'a'",
        "f'{total}'",
        ">>> x = 1\n>>> for i in xs:\n...     print(i)\n1",
        "```python\nx = 1\n```",
        "    x = 1\n    y = 2",
        "x = 1\n    y = 2",
        "# the data\nprices = [1, 2]",
        "match total:\n    case 1: pass",
        "total in sorted(xs)",
    ],
)
def test_python_is_code(text: str) -> None:
    assert is_code(text, TOTAL)


@pytest.mark.parametrize(
    "text",
    [
        "clear",
        "bye",
        "exit",
        "pass",
        "help",
        "total",
        "total is 42",
        "left and right",
        "yes, no",
        "not now",
        "print(total) in red",
        "print(total) and stop",
        "import data",
        "raise prices",
        "assert dominance",
        "del everything",
        "x-axis",
        "input/output",
        "report.csv",
        "note: later",
        "plot (again)",
        "sort(words)",
        "hello\nworld",
        "42",
        "'a text'",
        "print the total",
        "make x = 5",
        "fix this:\nx = 1",
        "x = = 1",
        "",
        "# only a note",
    ],
)
def test_words_that_happen_to_parse_are_none(text: str) -> None:
    assert not is_code(text, TOTAL)


def test_in_another_language_nothing_is_taken_for_python() -> None:
    from mtchat.session.language import parse_language

    assert not is_code("x = 5", Session().with_language(parse_language("javascript")))


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("x = 1", "x = 1"),
        (LONG, LONG),
        (">>> x = 1\n>>> x\n1", "x = 1\nx"),
        ("In [1]: x = 1", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("x = 1\n    y = 2", "x = 1\ny = 2"),
        ("def f():\n    return 1", "def f():\n    return 1"),
    ],
)
def test_code_is_kept_word_for_word_without_prompts_and_fences(typed: str, code: str) -> None:
    assert code_in(typed) == code


def test_pasted_code_becomes_a_turn_without_the_model_and_is_run(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 3"))
    dispatch(console, "x = 2\nprint(x)")
    (turn,) = console.session.path
    assert (turn.chunk, turn.status, turn.provenance.model) == ("x = 2\nprint(x)", EDITED, "")
    assert turn.instruction == "add my own code: x = 2"
    assert console.session.outcome is not None
    assert console.session.outcome.ok
    assert "added as your own code, unchanged; /next TEXT treats TEXT as an instruction" in said(console)
    assert load(console.log.path).path == console.session.path
    dispatch(console, "set x")
    assert [each.chunk for each in console.session.path] == ["x = 2\nprint(x)", "x = 3"]


def test_a_command_adds_code_that_is_typed_or_in_a_file(tmp_path: Path) -> None:
    console, file = console_in(tmp_path), tmp_path / "own.py"
    file.write_text("y = 1\nif y < 2:\n    print(y)\n", encoding="utf-8")
    dispatch(console, "/add clear")
    dispatch(console, f"/add < {file}")
    dispatch(console, "/add x < 3")
    assert [turn.chunk for turn in console.session.path] == [
        "clear",
        "y = 1\nif y < 2:\n    print(y)",
        "x < 3",
    ]


@pytest.mark.parametrize("argument", ["", "   ", "< a b", "< nowhere.py"])
def test_a_command_without_code_says_what_it_takes(tmp_path: Path, argument: str) -> None:
    with pytest.raises(UsageError, match=r"add which code|one file after|does not exist"):
        dispatch(console_in(tmp_path), f"/add {argument}")


def test_a_script_takes_code_as_code_and_next_as_an_instruction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["/add y = 5", "x = y + 1", "/next show"]
    code, _ = played(tmp_path, words, box=RUN_NOWHERE)
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "y = 5\n\nx = y + 1\n\nprint(x * 7)\n"
    assert [turn.status for turn in load(tmp_path / "played.jsonl").path] == [EDITED, EDITED, "complete"]
