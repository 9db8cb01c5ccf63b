"""What programs print and long lines of code, made fit for the screen."""

import io
import re
from collections.abc import Callable

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from mtchat.console.code import COLOUR, CONTINUATION, highlight_lines, wrap_code
from mtchat.console.text import apply_returns, display_width, excerpt
from mtchat.console.view import View

COLUMNS = 40


@given(st.text())
def test_the_width_of_a_text_is_what_the_prompt_takes_it_for(text: str):
    assert display_width(text) == get_cwidth(text)


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("100%", "100%"),
        ("\r  0%\r 50%\r100%", "100%"),
        ("0%\r", "0%"),
        ("abcdef\rxy", "xycdef"),
        ("loading...\r          \rdone", "done      "),
        ("a\r\rb", "b"),
    ],
)
def test_a_line_is_shown_as_a_terminal_leaves_it(line: str, left: str):
    assert apply_returns(line) == left


@pytest.mark.parametrize(
    ("text", "lines", "rest"),
    [
        ("a\nb\n", ("a", "b"), ""),
        ("a\r\nb\r\n", ("a", "b"), ""),
        ("\n".join("abcdef"), ("a", "b", "c", "d"), "2 more lines"),
        ("x" * 200_000, ("x" * 39 + "…",), "199,961 more characters"),
        ("a\n" + "x" * 100 + "\nb\nc", ("a", "x" * 29 + "…"), "71 more characters and 2 more lines"),
        ("x" * 25 + "\na\nb", ("x" * 25, "a"), "1 more line"),
        ("\r0%\r50%\r100%\ndone", ("100%", "done"), ""),
        ("表" * 30, ("表" * 19 + "…",), "11 more characters"),
        ("\x1b[31m", (r"\x1b[31m",), ""),
    ],
)
def test_an_output_takes_four_rows_of_ten_columns_at_most(text: str, lines: tuple[str, ...], rest: str):
    found = excerpt(text, 4, 10)
    assert (found.lines, found.rest) == (lines, rest)


CODE = "result = compute(alpha, beta)  # the values in descending order, the largest of them first of all"


def test_a_long_line_of_code_breaks_between_words_and_says_so():
    assert wrap_code(CODE, 60) == [
        "result = compute(alpha, beta)  # the values in descending",
        f"{CONTINUATION}order, the largest of them first of all",
    ]


def test_what_is_folded_keeps_its_indent_and_a_word_longer_than_the_row_is_cut():
    assert wrap_code("    x = " + "a" * 30, 24) == [
        "    x =",
        f"    {CONTINUATION}{'a' * 18}",
        f"    {CONTINUATION}{'a' * 12}",
    ]


@given(
    st.text(st.sampled_from("abc (),=#'\"表"), max_size=200),
    st.integers(20, 60),
    st.booleans(),
)
def test_folding_drops_nothing_but_blanks_and_fits(text: str, columns: int, color: bool):
    (line,) = highlight_lines(text, color=color)
    rows = [COLOUR.sub("", row) for row in wrap_code(line, columns)]
    assert all(get_cwidth(row) <= columns for row in rows)
    joined = "".join(row.replace(CONTINUATION, "", 1) for row in rows)
    assert re.sub(r"\s", "", joined) == re.sub(r"\s", "", text)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The screen after a program has printed some pieces one after another."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))

    def play(*pieces: str, most: int = 500) -> str:
        out, screen = io.StringIO(), pyte.Screen(COLUMNS, 12)
        on_output = View(out, live=True, color=False).live_output(most)
        for piece in pieces:
            on_output("stdout", piece)
        pyte.Stream(screen).feed(out.getvalue().replace("\n", "\r\n"))
        return "\n".join(line.rstrip() for line in screen.display).rstrip()

    return play


def test_a_progress_bar_of_a_running_program_stays_one_line(heard: Callable[..., str]):
    assert (
        heard("start\n", *(f"\r{number:3}%" for number in range(0, 101)), "\ndone\n") == "start\n100%\ndone"
    )


def test_what_a_running_program_asks_stands_until_it_is_answered(heard: Callable[..., str]):
    assert heard("Name? ") == "Name?"
    assert heard("Name? ", "Ann\n", "Hello\n") == "Name? Ann\nHello"


def test_a_very_long_line_of_a_running_program_ends_in_a_note(heard: Callable[..., str]):
    text = heard("x" * 5000 + "\n", "never shown\n", most=3)
    assert text.startswith("x" * 40)
    assert text.endswith("… output truncated; mtchat run prints\nall of it")
    assert "never" not in text
