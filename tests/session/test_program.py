"""The program of a path: one source, each line of it known by turn and line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.session.outcome import Frame, Outcome, Reason
from mtchat.session.program import PREAMBLE, Chunk, Location, Program, assemble
from mtchat.session.turn import Turn

CODE = st.text(st.sampled_from("x =1\n\r\t\f#\u2028\\\"'"), max_size=12)


def path(*chunks: str) -> tuple[Turn, ...]:
    return tuple(Turn("do", chunk) for chunk in chunks)


@pytest.mark.parametrize(
    ("chunks", "preamble", "source"),
    [
        ((), "", ""),
        (("x = 1",), "", "x = 1\n"),
        (("x = 1\n\n\n", "y = 2\n"), "", "x = 1\n\ny = 2\n"),
        (("x = 1", "", " \n", "y = 2"), "", "x = 1\n\ny = 2\n"),
        (("x = 1",), "import math\n", "import math\n\nx = 1\n"),
        (("x = 1",), " \n", "x = 1\n"),
        (("\n\n    x = 1",), "", "\n\n    x = 1\n"),
    ],
)
def test_the_source_is_the_chunks_with_one_blank_line_between(chunks, preamble, source):
    assert assemble(path(*chunks), preamble).source == source


def test_a_turn_without_code_keeps_its_number():
    assert assemble(path("x = 1", "", "y = 2")).locations == (Location(1, 1), None, Location(3, 1))


def test_the_preamble_is_turn_zero():
    program = assemble(path("x = 1"), "import math")
    assert program.chunks == (Chunk(PREAMBLE, "import math"), Chunk(1, "x = 1"))
    assert program.locations[0] == Location(0, 1)


@given(chunks=st.lists(CODE, max_size=5), preamble=CODE)
def test_each_line_of_the_source_is_the_line_of_the_turn_that_the_map_names(chunks, preamble):
    program = assemble(path(*chunks), preamble)
    lines = program.source.split("\n")[:-1]
    codes = {chunk.turn: chunk.code.split("\n") for chunk in program.chunks}
    assert len(lines) == len(program.locations)
    for line, place in zip(lines, program.locations, strict=True):
        assert line == ("" if place is None else codes[place.turn][place.line - 1])


def test_a_chunk_is_called_by_its_turn_and_a_file_by_its_name():
    assert [Program().label(turn) for turn in (0, 3)] == ["preamble", "turn 3"]
    assert Program(name="plot.py").label(1) == "plot.py"


def test_an_outcome_is_good_only_when_the_whole_program_ran():
    assert Outcome().ok
    assert not Outcome(finished=False).ok
    assert not Outcome(exit_code=1).ok
    assert not Outcome(exit_code=None, signal=9).ok
    assert not Outcome(reason=Reason.SECONDS).ok
    assert not Outcome(error="turn 1, line 1: ValueError").ok


def test_the_turn_that_failed_is_where_the_error_surfaced():
    inner, outer = Frame(Location(1, 2), "f"), Frame(Location(3, 1), "<module>")
    assert Outcome(frames=(outer, inner)).turn == 3
    assert Outcome().turn is None
