"""What real models make of a person's first sentences, on a terminal: a change, a question, a check."""

from pathlib import Path

import pytest

from mtchat.bundled_models import cache
from mtchat.store import load
from tests.support.scripts import needs_sandbox
from tests.support.terminal import CTRL_D, CTRL_T, ENTER, terminal

UNTIL = 240

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.model,
    pytest.mark.skipif(
        not all(cache.locate(name, cache.models_folder()) for name in ("starter", "starter-small")),
        reason="the models are not here: mtchat models get starter; mtchat models get starter-small",
    ),
    needs_sandbox,
]


def test_a_change_a_question_and_a_check_are_told_apart_after_a_fit_and_a_plot(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    saved = tmp_path / "sessions" / "fit.jsonl"
    with terminal(["-m", "mtchat", "--model", "starter", "--max-tokens", "96", "fit"], tmp_path) as screen:
        screen.wait("1› ", 60)
        screen.send("x = [0, 1, 2, 3, 4]; y = [0.1, 1.2, 3.9, 9.1, 16.2]" + ENTER)
        screen.wait("\n2› ", UNTIL)
        screen.send("fit a line to x and y with numpy and name the result coefficients" + ENTER)
        screen.wait("\n3› ", UNTIL)
        screen.send("plot the points and the line with matplotlib and save it as plot.png" + ENTER)
        screen.wait("\n4› ", UNTIL)
        _, fit, plot = load(saved).path
        assert "1)" in fit.chunk

        screen.send("make it quadratic" + ENTER)
        text = screen.wait(lambda text: text.count("\n4›") >= 2 or "(Enter = 1)" in text, UNTIL)
        if "(Enter = 1)" in text:  # a question is as good where the likelier answer is the right one
            screen.send(ENTER)
            text = screen.wait(lambda text: text.count("\n4›") >= 2, UNTIL)
        assert "changing turn 2: fit a line" in text
        _, now, after = load(saved).path
        assert now.corrects == fit.id
        assert "2)" in now.chunk
        assert after.instruction == plot.instruction

        screen.send("what does polyfit return?" + ENTER)
        screen.wait("answering a question (Ctrl-T makes it a new step)", UNTIL)
        screen.wait(lambda text: text.count("\n4›") >= 3, UNTIL)
        assert load(saved).path[1:] == (now, after)

        screen.send("after this coefficients must have 3 values" + ENTER)
        screen.wait(lambda text: text.count("\n4›") >= 4, UNTIL)
        assert "len(coefficients) == 3" in screen.text
        now = load(saved)
        assert len(now.path) == 3
        assert [check for turn in now.path for check in now.options_of(turn.id).checks]
        screen.send(CTRL_D)
        assert screen.ended(30) == 0


def test_one_key_switches_between_a_change_and_a_step_that_were_written_once(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    saved = tmp_path / "sessions" / "keys.jsonl"
    words = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48", "keys"]
    with terminal(words, tmp_path) as screen:
        screen.wait("1› ", 60)
        screen.send("Print the numbers from 1 to 5" + ENTER)
        screen.wait("\n2› ", UNTIL)
        screen.send("/correct make it start at 3" + ENTER)
        screen.wait(lambda text: text.count("\n2›") >= 2, UNTIL)
        assert "changing turn 1: Print the numbers from 1 to 5\n" in screen.text
        (changed,) = load(saved).path

        screen.send(CTRL_T)
        screen.wait("a new step (Ctrl-T changes turn 1: Print the numbers from 1 to 5)", UNTIL)
        screen.wait("\n3› ", UNTIL)
        as_step = load(saved)
        assert [turn.instruction for turn in as_step.path] == [
            "Print the numbers from 1 to 5",
            "make it start at 3",
        ]
        screen.send(CTRL_T)
        screen.wait("back to the change of turn 1: Print the numbers from 1 to 5", UNTIL)
        assert load(saved).path == (changed,)
        assert load(saved).turns == as_step.turns
        screen.wait(lambda text: text.count("\n2›") >= 3, UNTIL)
        screen.send(CTRL_T)
        screen.wait("back to a new step (Ctrl-T changes turn 1 again)", UNTIL)
        assert load(saved).path == as_step.path
        assert load(saved).turns == as_step.turns
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
