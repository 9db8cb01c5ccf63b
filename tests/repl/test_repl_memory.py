"""What the model is told, on a terminal: the meter, what does not fit, and the program written anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repl import say, session, started
from tests.support.terminal import CTRL_C, PASTE, Terminal

pytestmark = pytest.mark.terminal


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with started(tmp_path) as screen:
        yield screen


def talked(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "print x", "3› ")


def test_the_new_program_is_shown_beside_the_present_one_and_taken_when_it_is_typed(
    screen: Terminal,
    tmp_path: Path,
) -> None:
    talked(screen)
    text = say(screen, "/recap", "which program do you want to keep, new or now?")
    assert "\n- x = 1\n" in text
    assert "both print:\n│ 1\n✓ ran" in text
    text = say(screen, "new", "/goto before-recap returns to the old one")
    assert "now at turn 1: define x / print x" in text
    saved = session(tmp_path)
    assert saved.program.source == "print(x)\n"
    assert set(saved.branches) == {"before-recap"}


def test_ctrl_c_at_the_question_keeps_the_present_program_and_the_new_one_beside_it(
    screen: Terminal,
    tmp_path: Path,
) -> None:
    talked(screen)
    say(screen, "/recap", "which program do you want to keep, new or now?")
    screen.send(CTRL_C)
    screen.wait("the program is unchanged; /goto recap switches to the new one")
    assert session(tmp_path).program.source == "x = 1\n\nprint(x)\n"
    say(screen, "/goto recap", "now at turn 1: define x / print x")
    assert session(tmp_path).program.source == "print(x)\n"


def test_a_program_that_is_rewritten_because_it_fails_is_shown_whole_and_stands_in_its_turns(
    screen: Terminal,
    tmp_path: Path,
) -> None:
    talked(screen)
    say(screen, "/set policy rewrite", "policy")
    text = say(screen, "wobble", "4› ")
    whole = "x = 1\n\n# Print x.\nprint(x)\n\nwobble = x\n"
    assert f"the whole program, rewritten, works better:\n{whole}" in text
    chunks = [turn.chunk for turn in session(tmp_path).path]
    assert chunks == ["x = 1", "# Print x.\nprint(x)", "wobble = x"]
    say(screen, "/undo", "now at turn 2: print x")
    assert [turn.chunk for turn in session(tmp_path).path] == ["x = 1", "print(x)"]


def test_the_meter_shows_what_takes_the_context_and_what_is_too_long_is_refused(
    screen: Terminal,
    tmp_path: Path,
) -> None:
    talked(screen)
    text = say(screen, "/context go on", "tokens; family instruct")
    assert "room to reply" in text
    assert "/set max_tokens N changes it" in text
    assert "/forget 1 leaves it out" in text
    say(screen, PASTE[0] + "word " * 600 + PASTE[1], "fake is 1000")
    assert len(session(tmp_path).path) == 2
