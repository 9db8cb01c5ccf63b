"""The lines of code are those that Python counts, and a traceback shows the one that failed."""

import ast
from collections.abc import Callable
from typing import Any

import pytest

from mtchat.sandbox.guest import source_file
from mtchat.sandbox.guest.program import report
from mtchat.session.source import split_lines


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
