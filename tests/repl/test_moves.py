"""Moving in the tree by commands: every move is in the file, nothing is lost, read or run again."""

from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.errors import MtchatError, UsageError
from mtchat.repl.app import dispatch
from mtchat.store import load
from tests.support.consoles import console_in, said


def branched(folder: Path, runs=None):
    console = console_in(folder, **({"runs": runs} if runs else {}))
    for line in ("define x", "print x", "/branch first", "/undo", "fail"):
        dispatch(console, line)
    return console


def after(console, line: str) -> str:
    before = len(said(console))
    dispatch(console, line)
    return said(console)[before:]


def chunks(session) -> list[str]:
    return [turn.chunk for turn in session.path]


def test_the_tree_shows_every_turn_how_it_went_and_where_we_are(tmp_path: Path) -> None:
    console = branched(tmp_path)
    dispatch(console, "/branch second")
    assert after(console, "/tree") == (
        "✓ 1   define x\n├ ✓ 2   print x  [first]\n✗ 2b  fail  [second]  ← now\n"
    )


def test_turns_that_ran_with_later_ones_are_no_turns_that_were_not_run(tmp_path: Path) -> None:
    console = branched(tmp_path)
    dispatch(console, "/goto first")
    dispatch(console, "/correct 1 corrected")
    assert "✓ 1b  define x / corrected\n✓ 2c  print x  [first]  ← now\n" in after(console, "/tree")


def test_goto_finds_turns_labels_branches_and_the_start_and_says_the_way_back(tmp_path: Path) -> None:
    console = branched(tmp_path)
    assert "/goto 2b goes back" in after(console, "/goto first")
    assert chunks(console.session) == ["x = 1", "print(x)"]
    dispatch(console, "/goto 2b")
    assert chunks(console.session) == ["x = 1", "raise ValueError('no')"]
    dispatch(console, "/goto 1")
    assert chunks(console.session) == ["x = 1"]
    dispatch(console, "/goto start")
    assert chunks(console.session) == []
    assert chunks(load(console.log.path)) == []
    dispatch(console, "/goto 2")
    assert chunks(load(console.log.path)) == ["x = 1", "print(x)"]


@pytest.mark.parametrize("goal", ["9", "2c", "nowhere", "²", "-1", ""])
def test_a_goal_that_is_not_there_is_refused_and_nothing_moves(tmp_path: Path, goal: str) -> None:
    console = branched(tmp_path)
    head = console.session.head
    with pytest.raises(MtchatError, match="tree"):
        dispatch(console, f"/goto {goal}".strip())
    assert console.session.head == head


def test_moves_run_nothing_and_keep_what_each_branch_did(tmp_path: Path) -> None:
    console = branched(tmp_path)

    def never(*args, **kwargs):
        raise AssertionError("a move ran the program")

    console.chat.sandbox = replace(console.chat.sandbox, run=never, resume=never)
    dispatch(console, "/goto first")
    assert console.session.outcome is not None
    assert console.session.outcome.ok
    dispatch(console, "/goto 2b")
    assert console.session.outcome is not None
    assert not console.session.outcome.ok


def test_a_named_branch_goes_along_with_its_turns_and_is_there_after_reopening(tmp_path: Path) -> None:
    console = branched(tmp_path)
    dispatch(console, "/goto first")
    dispatch(console, "talk")
    dispatch(console, "/goto 2b")
    console.log.close()
    again = load(console.log.path)
    assert chunks(again.go_to_branch("first")) == ["x = 1", "print(x)", "y = 2"]


@pytest.mark.parametrize("name", ["3", "two words", "-x", "x" * 41])
def test_a_name_that_could_be_a_label_or_two_words_is_no_branch(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="begins with a letter"):
        dispatch(branched(tmp_path), f"/branch {name}")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="/goto first goes to its end"):
        dispatch(branched(tmp_path), "/branch first")


def test_pick_shows_each_try_once_and_makes_one_live(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    for line in ("flaky", "/retry"):
        dispatch(console, line)
    shown = after(console, "/pick")
    assert "1  ✗ flaky" in shown
    assert "2  ✓ flaky  ← now" in shown
    dispatch(console, "/pick 1")
    assert chunks(load(console.log.path)) == ["raise ValueError('no')"]
    with pytest.raises(UsageError, match="there are 2 candidates"):
        dispatch(console, "/pick 3")


def test_pick_with_one_try_says_how_to_get_others(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    dispatch(console, "define x")
    with pytest.raises(MtchatError, match="/retry 8 generates others"):
        dispatch(console, "/pick")
