"""What is said again of a program that grows, and what is not; a turn that does something else is told."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.console.repeat_filter import RepeatFilter, digest, first_change
from mtchat.repl.app import dispatch
from mtchat.session.outcome import File, Frame, Outcome
from mtchat.session.program import Chunk, Location, Program
from tests.support.consoles import said
from tests.support.runs import begun


def program(*codes: str) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))


def ran(*outputs: str, **more: object) -> Outcome:
    return replace(Outcome("fake", outputs=outputs, stdout="".join(outputs)), **more)


def fails(turn: int, *outputs: str) -> Outcome:
    frames = (Frame(Location(turn, 1), "<module>"),)
    return ran(*outputs, finished=False, exit_code=1, error=f"turn {turn}, line 1: E", frames=frames)


A, B, C = "print(1)", "print(2)", "print(3)"
CHANGES = [
    (program(A), ran("1\n"), program(A, B), ran("1\n", "2\n"), ""),
    (program(A), ran("1\n"), program(A, B), ran("7\n", "2\n"), "1 became 7"),
    (program(A), ran("1\n2\n"), program(A, B), ran("1\n5\n", ""), "2 became 5"),
    (program(A), ran("1\nbye\n"), program(A, B), ran("1\n", "2\nbye\n"), ""),
    (program(A, B), ran("1\n", "2\n"), program(A, C), ran("4\n", "3\n"), "1 became 4"),
    (program(A, B), ran("1\n", "2\n"), program(C, B), ran("3\n", "4\n"), ""),
    (program(A, B), ran("1\n", "2\n"), program(A), ran("1\n2\n"), ""),
    (program(A), ran("1\n"), program(A, B), ran("\n", "2\n"), "1 became an empty line"),
    (program(A), ran("1\n"), program(A, B), fails(1, ""), "now fails, though it did not before"),
    (program(A), ran("1\n"), program(A, B), fails(2, "1\n", ""), ""),
    (program(A), fails(1, "x\n"), program(A), ran("1\n"), ""),
    (program(A), ran("1\n"), program(A, B), ran("5\n", "", truncated=True), ""),
    (program(A), ran("1\n", truncated=True), program(A, B), ran("5\n", ""), ""),
]


@pytest.mark.parametrize(("old", "shown", "new", "outcome", "told"), CHANGES)
def test_a_turn_that_does_something_else_is_told(
    old: Program, shown: Outcome, new: Program, outcome: Outcome, told: str, tmp_path: Path
) -> None:
    repeats = RepeatFilter()
    repeats.remember(old, shown, tmp_path)
    line = repeats.describe_change(new, outcome)
    assert line.endswith(told)
    assert bool(line) is bool(told)
    assert not line or line.startswith("turn 1 ran again and ")


def test_it_is_told_once(tmp_path: Path) -> None:
    repeats = RepeatFilter()
    told = []
    for number, codes in enumerate([(A,), (A, B), (A, B, C)]):
        outcome = ran(f"at {number}\n", *["" for _ in codes[1:]])
        told.append(repeats.describe_change(program(*codes), outcome))
        repeats.remember(program(*codes), outcome, tmp_path)
    assert told == ["", "turn 1 ran again and printed something else: at 0 became at 1", ""]


def test_a_difference_is_the_first_line_of_it_and_short() -> None:
    assert first_change("a\nb\n", f"a\n{'x' * 99}\n") == f"b became {'x' * 59}…"


def test_files_and_warnings_are_told_once_unless_they_change(tmp_path: Path) -> None:
    figure, table = File("figure-1.png", 3), File("a.csv", 2)
    warned = "<turn 1>:2: UserWarning: Glyph\n  plt.show()\n"
    (tmp_path / "figure-1.png").write_bytes(b"one")
    (tmp_path / "a.csv").write_bytes(b"ab")
    repeats = RepeatFilter()
    first = ran("", files=(figure, table), error_outputs=(warned,))
    assert repeats.remove_known(program(A), first, tmp_path) == first
    repeats.remember(program(A), first, tmp_path)
    (tmp_path / "a.csv").write_bytes(b"cd")
    second = ran("", "", files=(figure, table), error_outputs=("", f"said\n{warned}now\n"))
    news = repeats.remove_known(program(A, B), second, tmp_path)
    assert (news.files, news.error_outputs) == ((table,), ("", "said\nnow\n"))
    assert repeats.remove_known(program(A), first, tmp_path) == first
    assert repeats.remove_known(program(C, B), second, tmp_path) == second


@pytest.mark.parametrize(
    "path", ["../mine", "/dev/zero", "/etc/hostname", "link", "pipe", "sub/mine", "no\0name"]
)
def test_a_file_that_a_session_names_outside_its_folder_is_not_read(tmp_path: Path, path: str) -> None:
    """A session may come from somebody else, and is remembered as it is opened."""
    folder, mine = tmp_path / "s.files", tmp_path / "mine"
    folder.mkdir()
    mine.write_text("mine")
    (folder / "link").symlink_to(mine)
    (folder / "sub").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    assert digest(folder, File(path, 4)) == ""


@pytest.mark.parametrize(("size", "read"), [(3, True), (4, True), (-1, False), (1 << 60, False)])
def test_a_file_is_read_up_to_its_size_only(tmp_path: Path, size: int, read: bool) -> None:
    (tmp_path / "a").write_text("long content")
    assert bool(digest(tmp_path, File("a", size))) == read


def test_the_screen_shows_what_is_new_of_a_turn_and_what_changed(tmp_path: Path) -> None:
    first = ran("one\n", error_outputs=("noise of the first\n",), stderr="noise of the first\n")
    second = ran("two\n", "", error_outputs=("noise of the first\n", "of the second\n"))
    console, _ = begun(tmp_path, first, second)
    assert "noise of the first" in said(console)
    before = len(said(console))
    dispatch(console, "print x")
    shown = said(console)[before:]
    assert "noise of the first" not in shown
    assert "of the second" in shown
    assert shown.endswith("turn 1 ran again and printed something else: one became two\n")
