"""A conversation with a real model in a real terminal: a question, a correction, an edit, a fix."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.session.turn import EDITED, KEPT
from mtchat.store import load
from tests.support.scripts import needs_sandbox
from tests.support.starter import needs_small
from tests.support.terminal import CTRL_D, ENTER, Terminal, terminal

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.model,
    needs_small,
    needs_sandbox,
]
MODEL = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48", "--policy", "select"]
BROKEN = "#!/bin/sh\nprintf 'print(scale * factr)\\n' > \"$1\"\n"
HOLED = "#!/bin/sh\nprintf 'def add(a, b):\\n    return <<fill>>\\n\\nprint(add(2, 3))\\n' > \"$1\"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sessions").mkdir()
    editor = tmp_path / "editor"
    editor.write_text(BROKEN)
    editor.chmod(0o755)
    return tmp_path


@pytest.fixture
def screen(folder: Path) -> Iterator[Terminal]:
    with terminal([*MODEL, "story"], folder, {"EDITOR": str(folder / "editor"), "VISUAL": ""}) as screen:
        screen.wait("1› ", 30)
        yield screen


def test_a_hole_in_a_turns_code_is_filled(folder: Path) -> None:
    (folder / "editor").write_text(HOLED)
    words = [*MODEL, "--max-tokens", "32", "--policy", "plain", "story"]
    with terminal(words, folder, {"EDITOR": str(folder / "editor"), "VISUAL": ""}) as screen:
        screen.wait("1› ", 30)
        screen.send("Define a function add of a and b" + ENTER)
        screen.wait("\n2› ", 60)
        screen.send("/code 1" + ENTER)
        screen.wait("/goto before-edit-1 returns", 60)
        assert "\n-     return <<fill>>\n+     return a + b\n" in screen.text
        assert "\n│ 5\n" in screen.text
        assert session(folder).path[0].status == EDITED
        screen.send(CTRL_D)
        assert screen.ended(30) == 0


def session(folder: Path):
    return load(folder / "sessions" / "story.jsonl")


def test_a_question_a_correction_an_edit_and_a_fix(screen: Terminal, folder: Path) -> None:
    screen.send("/set ask always" + ENTER)
    screen.wait("ask is always")
    screen.send("Make a list fruits with the names of five fruits" + ENTER)
    screen.wait("Which one?", 180)
    screen.send("1" + ENTER)
    screen.wait("\n2› ", 60)
    assert session(folder).path[0].meant
    screen.send("/set ask never" + ENTER)
    screen.wait("ask is never")
    screen.send("/undo" + ENTER)
    screen.wait("now at the start")

    screen.send("Define a variable scale with the value 3" + ENTER)
    screen.wait(lambda text: text.count("✓ ran") >= 2, 120)
    screen.send("Print scale" + ENTER)
    screen.wait("\n3› ", 120)
    screen.send("rename scale to factor" + ENTER)
    screen.wait(lambda text: text.count("\n3›") >= 2, 60)
    assert [turn.chunk.replace(" ", "") for turn in session(folder).path] == ["factor=3", "print(factor)"]
    screen.send("/undo" + ENTER)
    screen.wait("undone: correction")

    screen.send("/edit 1 Define a variable scale with the value 8" + ENTER)
    screen.wait("/goto before-edit-1 returns", 120)
    assert "\n│ 8\n" in screen.text
    assert [turn.status for turn in session(folder).path][1:] == [KEPT]

    screen.send("/code 2" + ENTER)
    screen.wait("/fix asks the model to repair it", 60)
    screen.send("/fix 2" + ENTER)
    screen.wait("fix ended after round", 120)
    assert session(folder).program.source.count("scale") >= 2
    screen.send(CTRL_D)
    assert screen.ended(30) == 0
