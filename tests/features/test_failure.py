"""What is certainly true of a failing program."""

import builtins
from dataclasses import replace

import pytest

from mtchat.features.explain import failure
from mtchat.session.outcome import Frame, Outcome, Reason, Variable
from mtchat.session.program import Chunk, Location, Program

PRICES = Variable("prices", "dict", "2", "{'apple': 1, 'pear': 2}")
NAMES = Variable("names", "list", "2", "['Ada', 'Bob']")
MEAN = Variable("mean", "function", "", "mean(numbers)")


def failing(error: str, code: str, limit: str = "") -> tuple[Program, Outcome]:
    frames = (Frame(Location(1, 1), "<module>"),)
    return Program((Chunk(1, code),)), Outcome(
        exit_code=1, finished=False, error=error, frames=frames, reason=Reason(limit)
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("turn 1, line 1: KeyError: 'a'", "KeyError"),
        ("turn 1, line 1: subprocess.CalledProcessError: 1", "CalledProcessError"),
        ("turn 1: stopped after 30 s", ""),
        ("turn 1, line 1: ValueError: KeyError: 'a'", "ValueError"),
    ],
)
def test_the_kind_of_an_error_is_read_from_its_line(error: str, kind: str):
    assert failing(error, "x")[1].exception == kind


def test_every_error_that_has_a_meaning_is_one_of_pythons():
    for name in failure.MEANINGS:
        assert issubclass(getattr(builtins, name), BaseException)


def test_a_limit_has_a_meaning_of_its_own():
    assert "loop" in failure.error_meaning(failing("turn 1: stopped after 30 s", "x", "seconds")[1])


def test_the_values_are_those_that_the_failing_line_uses():
    program, outcome = failing("turn 1, line 1: KeyError: 'x'", "print(mean(prices['x']))")
    assert failure.failing_values(program, outcome, (PRICES, NAMES, MEAN)) == (PRICES,)


@pytest.mark.parametrize("line", ["if prices > names:", "elif prices > names:", "for n in prices + names:"])
def test_the_names_of_the_head_of_a_statement_are_found(line: str):
    assert failure.names_in_line(line) >= {"prices", "names"}


@pytest.mark.parametrize(
    ("error", "code", "clue"),
    [
        ("NameError: name 'pries' is not defined", "print(pries)", "Did you mean `prices`?"),
        ("NameError: name 'zzz' is not defined", "print(zzz)", "No line of the program gives `zzz` a value."),
        (
            "NameError: name 'x' is not defined",
            "print(x)\nx = 1",
            "`x` has no value yet: it gets one l",
        ),
        (
            "IndexError: list index out of range",
            "names[2]",
            "`names` has 2 items, at positions 0 to 1.",
        ),
    ],
)
def test_a_clue_says_what_helps(error: str, code: str, clue: str):
    program, outcome = failing(f"turn 1, line 1: {error}", code)
    assert [each for each in failure.find_clues(program, outcome, (PRICES, NAMES)) if each.startswith(clue)]


def test_a_variable_is_described_in_a_line():
    assert failure.describe_variable(NAMES) == "`names` is ['Ada', 'Bob'] (a list with 2 items)"
    assert failure.describe_variable(Variable("age", "str", "2", "'42'")) == "`age` is '42' (text)"
    assert len(failure.describe_variable(Variable("x", "list", "900", "1, " * 50))) < 110


def test_what_the_world_kept_from_a_program_is_its_meaning() -> None:
    asked = Outcome(exit_code=1, error="turn 1, line 1: KeyError: 'TOKEN'", reason=Reason.ENVIRONMENT)
    assert "your environment variables" in failure.error_meaning(asked)
    assert "looks up a key" in failure.error_meaning(replace(asked, reason=Reason.NONE))
