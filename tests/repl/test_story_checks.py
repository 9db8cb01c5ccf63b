"""Checks with a real model, in a real terminal: said in words, and broken by an edit."""

from pathlib import Path

from mtchat.store import load
from tests.support.stories import MODEL, STORY_MARKS
from tests.support.terminal import CTRL_D, ENTER, terminal

pytestmark = STORY_MARKS


def test_an_edit_that_breaks_a_check_of_a_later_turn_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with terminal([*MODEL, "story"], tmp_path) as screen:
        screen.wait("1› ", 30)
        screen.send("Make a list numbers with 10, 12 and 20" + ENTER)
        screen.wait("\n2› ", 180)
        screen.send("/add total = sum(numbers)" + ENTER)
        screen.wait("\n3› ", 120)
        screen.send("/check after this total must be 42" + ENTER)
        screen.wait("check: total == 42  (holds)", 120)
        screen.send("/check numbers muss drei Werte haben" + ENTER)
        screen.wait("check: len(numbers) == 3  (holds)", 120)
        screen.send("/check total darf nicht 42 sein" + ENTER)
        screen.wait("(fails", 120)
        screen.send("/edit 1 Make a list numbers with 10, 12 and 18" + ENTER)
        screen.wait("✗ after turn 2, total must be 42, but total is 40", 120)
        screen.wait("✓ 2 checks passed")
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
    session = load(tmp_path / "sessions" / "story.jsonl")
    assert [(each.turn, each.code) for each in session.checks][:2] == [
        (2, "total == 42"),
        (2, "len(numbers) == 3"),
    ]
    assert len(session.path) == 2
