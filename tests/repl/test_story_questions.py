"""Questions to real models, in a terminal and in scripts: they are answered and change nothing."""

from pathlib import Path

import pytest

from mtchat.bundled_models import cache
from mtchat.store import load
from tests.support.shell import mtchat
from tests.support.stories import STORY_MARKS
from tests.support.terminal import CTRL_D, ENTER, Terminal, terminal

pytestmark = STORY_MARKS
CODE = (
    "import numpy as np; x = np.array([1.0, 2.0, 3.0]); y = 2 * x",
    "coefficients = np.polyfit(x, y, 1)",
)


def is_here(model: str) -> bool:
    return cache.locate(model, cache.models_folder()) is not None


@pytest.mark.parametrize(
    "model",
    [
        "starter-small",
        pytest.param("starter", marks=pytest.mark.skipif(not is_here("starter"), reason="no starter")),
    ],
)
def test_what_does_polyfit_return_is_answered_and_no_turn(model: str, tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with terminal(["-m", "mtchat", "--model", model, "fit"], tmp_path) as screen:
        screen.wait("1› ", 60)
        for number, code in enumerate(CODE, start=2):
            screen.send(code + ENTER)
            screen.wait(f"\n{number}› ", 120)
        text = answered(screen, "what does polyfit return?")
        assert "Least squares polynomial fit" in text
        assert "returns p: ndarray" in text
        assert "coefficients" in text.partition("≈")[2]
        text = answered(screen, "/ask was ist coefficients?")
        assert "an ndarray with 2 items" in text
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
    assert [turn.chunk for turn in load(tmp_path / "sessions" / "fit.jsonl").path] == list(CODE)


def answered(screen: Terminal, question: str) -> str:
    """The answer to a question, once it is whole."""
    before = screen.text.count("by the model and may be wrong")
    screen.send(question + ENTER)
    text = screen.wait(lambda text: text.count("by the model and may be wrong") > before, 180)
    return " ".join(text.partition(question)[2].split())


def test_a_script_is_answered_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    words = ["--model", "starter-small", "-p", "x = [4, 5, 6]", "-p", "what does x hold?", "asked"]
    made = mtchat(tmp_path, *words)
    assert made.returncode == 0, made.stderr
    assert made.stdout == "x = [4, 5, 6]\n"
    assert "`x` is a list with 3 items: [4, 5, 6]." in made.stderr
    assert "≈ " in made.stderr
    assert len(load(tmp_path / "sessions" / "asked.jsonl").turns) == 1
