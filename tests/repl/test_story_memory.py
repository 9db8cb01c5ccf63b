"""What a real model is told: folded, forgotten, shown by the meter, and made again byte for byte."""

from pathlib import Path

import pytest

from mtchat.store import load
from tests.support.scripts import needs_sandbox
from tests.support.shell import mtchat
from tests.support.starter import needs_small
from tests.support.terminal import CTRL_D, ENTER, terminal

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.model,
    needs_small,
    needs_sandbox,
]
WORDS = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "16", "--policy", "plain"]
CODE = """def average(numbers):
    total = 0
    for number in numbers:
        total = total + number
    return total / len(numbers)
"""


def test_a_folded_and_a_forgotten_turn_are_made_again_after_they_are_told_anew(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "story.py").write_text(f"# %% Write a function average(numbers)\n{CODE}")
    assert mtchat(tmp_path, "import", "story.py").returncode == 0
    with terminal([*WORDS, "story"], tmp_path) as screen:
        screen.wait("2› ", 30)
        for line, sign in (
            ("/fold 1", "turn 1 is folded; the program keeps its code"),
            ("/next Set x to the average of 1, 2 and 6", "\n3› "),
            ("/forget 2", "turn 2 is forgotten"),
            ("/next Set y to 4", "\n4› "),
            ("/context", "folded, saves "),
            ("/unfold 1-2", "turn 2 was forgotten; the model now sees all of it"),
        ):
            screen.send(line + ENTER)
            screen.wait(sign, 60)
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
    session = load(tmp_path / "sessions" / "story.jsonl")
    assert session.turn_options == {}
    assert [(turn.provenance.context.folded, turn.provenance.context.forgotten) for turn in session.path] == [
        ((), ()),
        ((1,), ()),
        ((1,), (2,)),
    ]
    same = mtchat(tmp_path, "replay", "story", "--verify")
    assert "2 of 2 turns are the same, byte for byte" in same.stdout
