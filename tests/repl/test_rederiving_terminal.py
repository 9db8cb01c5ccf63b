"""Editing a turn in the middle in a real terminal: with a model from a table, and with a real one."""

from pathlib import Path

import pytest

from mtchat.session.turn import INTERRUPTED
from mtchat.store import load
from tests.support.repl import say, session, started
from tests.support.scripts import needs_sandbox
from tests.support.shell import mtchat
from tests.support.starter import needs_small
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, terminal

pytestmark = pytest.mark.terminal

MODEL = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48"]


def test_ctrl_c_while_a_later_turn_is_made_again_leaves_the_program_as_it_was(tmp_path: Path) -> None:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        say(screen, "briefly", "3› ")
        screen.send("/edit 1 --all please define x" + ENTER)
        screen.wait(lambda text: text.count("line_3 = 3") == 2)
        screen.send(CTRL_C)
        text = screen.wait("/tree shows the turns written so far")
        assert "interrupted; the program is unchanged" in text
        saved = session(tmp_path)
        assert [turn.instruction for turn in saved.path] == ["define x", "briefly"]
        assert [turn.instruction for turn in saved.turns[2:]] == ["please define x", "briefly"]
        assert saved.turns[3].status == INTERRUPTED
        say(screen, "print x", "4› ")


def test_ctrl_c_at_a_question_leaves_the_program_as_it_was_and_an_answer_is_taken(tmp_path: Path) -> None:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        say(screen, "print x", "3› ")
        old = session(tmp_path).path
        say(screen, "/edit 1 --ask please define x", "2› print x: it still fits. [keep] or again?")
        screen.send(CTRL_C)
        screen.wait("interrupted; the program is unchanged")
        assert session(tmp_path).path == old
        say(screen, "/edit 1 --ask now define x", "turn 2 uses `x` from turn 1")
        screen.wait(lambda text: text.count("[keep] or again?") == 2)
        screen.send("again" + ENTER)
        screen.wait("regenerated, although it still fits")
        screen.wait("/goto before-edit-1 returns to the old program")
        assert [turn.instruction for turn in session(tmp_path).path] == ["now define x", "print x"]


def test_turns_that_print_otherwise_after_an_edit_show_it_under_their_numbers(tmp_path: Path) -> None:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        say(screen, "print x", "3› ")
        say(screen, "talk", "4› ")
        say(screen, "print x", "5› ")
        text = say(screen, "/edit 1 make x two", "/goto before-edit-1 returns")
        assert "turn 4 is kept\nturn 2:\n│ 2\nturn 4:\n│ 2\n✓ ran in 0.1 s\n" in text


@pytest.mark.model
@needs_small
@needs_sandbox
def test_a_real_model_makes_a_turn_again_whose_name_went_and_the_session_verifies(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with terminal([*MODEL, "story"], tmp_path) as screen:
        screen.wait("1› ", 30)
        say(screen, "/set policy plain", "policy is plain")
        screen.send("Define a list prices with the values 10 and 20" + ENTER)
        screen.wait("\n2› ", 120)
        screen.send("Print the sum of the list" + ENTER)
        screen.wait("│ 30", 60)
        screen.send("/edit 1 Define a list costs with the values 1, 2 and 3" + ENTER)
        text = screen.wait("returns to the old program", 60)
        assert "turn 2 uses `prices` from turn 1" in text
        assert "regenerated: `prices` no longer exists" in text
        assert "│ 6" in text
        assert "+ print(sum(costs))" in text
        screen.send(CTRL_D)
        screen.ended(30)
    saved = load(tmp_path / "sessions" / "story.jsonl")
    assert len(saved.path_to(saved.branches["before-edit-1"])) == 2
    done = mtchat(tmp_path, "replay", "story", "--verify")
    assert "2 of 2 turns are the same, byte for byte" in done.stdout, done.stderr
