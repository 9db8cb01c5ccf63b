"""A newcomer's session with a real model, in a real terminal and in scripts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.session.turn import INTERRUPTED
from mtchat.store import load
from tests.support.shell import mtchat
from tests.support.stories import MODEL, STORY_MARKS
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, Terminal, terminal

pytestmark = STORY_MARKS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sessions").mkdir()
    return tmp_path


@pytest.fixture
def screen(folder: Path) -> Iterator[Terminal]:
    with terminal([*MODEL, "story"], folder) as screen:
        screen.wait("1› ", 30)
        yield screen


def session(folder: Path):
    return load(folder / "sessions" / "story.jsonl")


def test_three_turns_an_interrupt_an_undo_a_run_and_coming_back(screen: Terminal, folder: Path) -> None:
    screen.send("Define a variable x with the value 21" + ENTER)
    screen.wait("\n2› ", 180)
    screen.send("Print twice the value of x" + ENTER)
    text = screen.wait("\n3› ", 120)
    assert "\n│ 42\n" in text
    assert re.search(r"\nwritten in \d+\.\d s\n", text)
    screen.send("/next Write a very long function with many comments" + ENTER)
    screen.wait(lambda text: "def " in text, 120)
    screen.send(CTRL_C)
    screen.wait("\n4› ", 60)
    assert session(folder).path[2].status == INTERRUPTED
    screen.send("/undo" + ENTER)
    screen.wait("now at turn 2")
    screen.send("/run" + ENTER)
    screen.wait(lambda text: "\n42\n✓ ran" in text)
    screen.send(CTRL_D)
    assert screen.ended(30) == 0
    with terminal([*MODEL, "story"], folder) as again:
        again.wait("story: now at turn 2: Print twice the value of x", 30)
        again.send("/show" + ENTER)
        again.wait("2› Print twice the value of x")


def test_scripted_turns_verify_byte_for_byte_and_a_changed_turn_is_shown(folder: Path) -> None:
    words = ["--model", "starter-small", "--max-tokens", "48", "--temperature", "0.5", "--seed", "7"]
    lines = "Define a list of the numbers 1 to 5\nPrint their sum\n"
    made = mtchat(folder, *words, "--run", "story", stdin="\ufeff" + lines)
    assert made.returncode == 0, made.stderr
    assert made.stdout == "15\n"
    assert session(folder).path[0].instruction == "Define a list of the numbers 1 to 5"
    same = mtchat(folder, "replay", "story", "--verify")
    assert same.returncode == 0, same.stderr
    assert "2 of 2 turns are the same, byte for byte" in same.stdout
    path = folder / "sessions" / "story.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    turn = next(event for event in reversed(events) if event["event"] == "turn")
    turn["chunk"] += "  # by hand"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    other = mtchat(folder, "replay", "story", "--verify")
    assert other.returncode == 1
    assert "+" + turn["chunk"].removesuffix("  # by hand").splitlines()[-1] in other.stdout
    assert "1 of 2 turns are the same" in other.stdout
