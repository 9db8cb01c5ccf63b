"""What the real starter makes of a person's first sentences, on a terminal: a change, a question, a check."""

from pathlib import Path

import pytest

from mtchat.bundled_models import cache
from mtchat.sandbox.host import execute
from mtchat.store import load
from tests.support.terminal import CTRL_D, ENTER, terminal

UNTIL = 240

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.model,
    pytest.mark.skipif(
        cache.locate("starter", cache.models_folder()) is None,
        reason="starter is not here: mtchat models get starter",
    ),
    pytest.mark.skipif(not execute.probe().ok, reason=f"no sandbox: {execute.probe().reason}"),
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
        text = screen.wait("not what you meant?", UNTIL)
        assert "changing turn 2: fit a line" in text
        _, now, after = load(saved).path
        assert now.corrects == fit.id
        assert "2)" in now.chunk
        assert after.instruction == plot.instruction

        screen.wait(lambda text: text.count("\n4›") >= 2, UNTIL)
        screen.send("what does polyfit return?" + ENTER)
        text = screen.wait("to make it a step", UNTIL)
        assert "does not change the program" in text
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
