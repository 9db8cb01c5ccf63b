"""Editing a turn in the middle at the console: what is said, what is saved, what stays when it is stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.console.code import diff_lines
from mtchat.console.console import Console
from mtchat.errors import MtchatError
from mtchat.features.regenerate.view import FlaggedArgument, parse_flag
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Sampling
from mtchat.session.turn import EDITED, INTERRUPTED, KEPT
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, editor, said
from tests.support.generate import run

REPLIES = ("n = 12", "m = n * 2", "print(m)")
WISHES = ("set n to 12", "double it", "print it")


def begun(folder: Path, *replies: str) -> Console:
    """A console with three turns, whose model has these replies left."""
    console = console_in(folder, Spoken(*REPLIES, *replies))
    for wish in WISHES:
        dispatch(console, wish)
    return console


def code(console: Console) -> list[str]:
    return [turn.chunk for turn in console.session.path]


def test_an_edit_keeps_what_fits_makes_the_rest_again_and_says_so_with_a_diff_lines(tmp_path: Path) -> None:
    console = begun(tmp_path, "k = 30", "m = k * 2")
    old = console.session
    dispatch(console, "/edit 1 set k to 30")
    assert code(console) == ["k = 30", "m = k * 2", "print(m)"]
    assert said(console).partition("turn 2 uses")[2].splitlines() == [
        " `n` from turn 1",
        "1› set k to 30",
        "k = 30",
        "✓ ran in 0.1 s",
        "2› double it",
        "regenerated: `n` no longer exists",
        "m = k * 2",
        "✓ ran in 0.1 s",
        "turn 3 is kept",
        "│ 1",
        "✓ ran in 0.1 s",
        "",
        "- n = 12",
        "+ k = 30",
        "  ",
        "- m = n * 2",
        "+ m = k * 2",
        "  ",
        "  print(m)",
        "kept 1 of 2 later turns",
        "/goto before-edit-1 returns to the old program",
    ]
    assert load(console.log.path) == console.session
    dispatch(console, "/goto before-edit-1")
    assert console.session.path == old.path


def printing(program: Program, *given: object) -> Outcome:
    return run(program)


def test_what_turns_print_otherwise_after_an_edit_is_shown_under_their_numbers(tmp_path: Path) -> None:
    replies = ("n = 1", "print(n)", "print('so')", "print(n + 1)", "n = 5")
    console = console_in(tmp_path, Spoken(*replies), runs=printing)
    for wish in ("set n to 1", "print n", "say so", "print one more", "/edit 1 set n to 5"):
        dispatch(console, wish)
    shown = said(console).partition("turn 4 is kept\n")[2]
    assert shown.startswith("turn 2:\n│ 5\nturn 4:\n│ 6\n✓ ran")


def test_a_later_turn_that_prints_nothing_any_more_is_told(tmp_path: Path) -> None:
    show = "if n:\n    print(n)"
    console = console_in(tmp_path, Spoken("n = 1", show, "k = 2", "n = 0", "n = 2"), runs=printing)
    for wish in ("set n to 1", "print n unless it is 0", "set k to 2", "/edit 1 --keep set n to 0"):
        dispatch(console, wish)
    assert "turn 3 is kept\nturn 2 no longer prints anything\n✓ ran" in said(console)
    dispatch(console, "/edit 1 --keep set n to 2")
    assert said(console).count("no longer prints anything") == 1


def test_a_last_turn_that_prints_nothing_any_more_is_told(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("n = 1", "if n:\n    print(n)", "n = 0"), runs=printing)
    for wish in ("set n to 1", "print n unless it is 0", "/edit 1 --keep set n to 0"):
        dispatch(console, wish)
    assert "\nturn 2 no longer prints anything\n✓ ran" in said(console)


def test_what_an_earlier_turn_prints_is_not_taken_for_what_the_last_one_does(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("n = 1", "print(n)", "k = 2", "n = 5"), runs=printing)
    for wish in ("set n to 1", "print n", "set k to 2", "/edit 1 set n to 5"):
        dispatch(console, wish)
    assert "turn 3 is kept\nturn 2:\n│ 5\n✓ ran" in said(console)


def test_a_turn_that_is_kept_before_one_made_again_shows_what_it_prints_once(tmp_path: Path) -> None:
    replies = ("n = 1\nk = 2", "print(n)", "print(k)", "n = 5", "print(n * 3)")
    console = console_in(tmp_path, Spoken(*replies), runs=printing)
    for wish in ("set n and k", "print n", "print k", "/edit 1 set n to 5"):
        dispatch(console, wish)
    shown = said(console).partition("regenerated: `k` no longer exists\n")[2]
    assert shown.startswith("print(n * 3)\nturn 2:\n│ 5\nturn 3:\n│ 15\n✓ ran")
    assert shown.count("│ 5\n") == 1


def test_code_of_the_users_goes_in_and_the_model_is_asked_only_for_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = begun(tmp_path)
    editor(tmp_path, monkeypatch, "n = 5")
    dispatch(console, "/code 1")
    assert code(console) == ["n = 5", "m = n * 2", "print(m)"]
    assert [turn.status for turn in console.session.path] == [EDITED, KEPT, KEPT]
    assert "kept 2 of 2 later turns" in said(console)
    editor(tmp_path, monkeypatch, "k = 5")
    assert isinstance(console.chat.model, Spoken)
    console.chat.model.replies = ["m = k * 2"]
    dispatch(console, "/code 1")
    assert code(console) == ["k = 5", "m = k * 2", "print(m)"]
    assert load(console.log.path) == console.session


class Stopping(Spoken):
    """Is interrupted once it has given so many replies: at once, or after half a line."""

    def __init__(self, *replies: str, written: str = "") -> None:
        super().__init__(*replies)
        self.written = written

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        if self.replies:
            yield from super().complete(prompt, sampling)
            return
        if self.written:
            yield Piece(self.written)
        raise KeyboardInterrupt


@pytest.mark.parametrize("replies", [(), ("k = 30",)])
@pytest.mark.parametrize("half", ["", "half = 1\n"])
def test_a_stop_anywhere_leaves_the_program_live_and_what_was_made_in_the_tree(
    replies: tuple[str, ...], half: str, tmp_path: Path
) -> None:
    console = console_in(tmp_path, Stopping(*REPLIES, *replies, written=half))
    for wish in WISHES:
        dispatch(console, wish)
    dispatch(console, "/branch main")
    old = console.session
    dispatch(console, "/edit 1 set k to 30")
    assert (console.session.path, console.session.outcome) == (old.path, old.outcome)
    assert (console.session.branches, console.session.branch) == (old.branches, old.branch)
    assert console.session.visited == old.visited
    made = console.session.turns[len(old.turns) :]
    assert [turn.chunk for turn in made] == [*replies, *filter(None, [half.strip()])]
    assert [turn.status for turn in made if turn.chunk == "half = 1"] == [INTERRUPTED] * bool(half)
    assert "interrupted; the program is unchanged" in said(console)
    assert "/undo" not in said(console)
    assert load(console.log.path) == console.session


def test_an_error_in_the_middle_leaves_the_program_live(tmp_path: Path) -> None:
    class Failing(Spoken):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if not self.replies:
                raise MtchatError("the context takes 9 tokens")
            yield from super().complete(prompt, sampling)

    console = console_in(tmp_path, Failing(*REPLIES, "k = 30"))
    for wish in WISHES:
        dispatch(console, wish)
    old = console.session
    with pytest.raises(MtchatError, match="the context takes"):
        dispatch(console, "/edit 1 set k to 30")
    assert console.session.path == old.path
    assert [turn.chunk for turn in load(console.log.path).turns] == [*REPLIES, "k = 30"]
    assert load(console.log.path).head == old.head


def test_asked_for_each_turn_the_user_keeps_makes_again_and_takes_what_is_proposed(tmp_path: Path) -> None:
    answers, asked = ["what?", "a", ""], []
    console = begun(tmp_path, "n = 30", "m = n + n")
    console.questions.answer = lambda label: asked.append(label) or answers.pop(0)
    dispatch(console, "/edit 1 --ask set n to 30")
    assert asked == [
        "2› double it: it still fits. [keep] or again? ",
        "2› double it: it still fits. [keep] or again? ",
        "3› print it: it still fits. [keep] or again? ",
    ]
    assert code(console) == ["n = 30", "m = n + n", "print(m)"]
    assert "regenerated, although it still fits" in said(console)


def test_ctrl_c_at_the_question_keeps_the_old_branch(tmp_path: Path) -> None:
    console = begun(tmp_path, "n = 30")
    old = console.session
    console.questions.answer = lambda label: None
    dispatch(console, "/edit --ask 1 set n to 30")
    assert console.session.path == old.path
    assert "interrupted; the program is unchanged" in said(console)


def test_all_or_none_of_the_later_turns_can_be_made_again(tmp_path: Path) -> None:
    console = begun(tmp_path, "k = 30", "k = 31", "m = k * 2", "print(m, k)")
    dispatch(console, "/edit 1 --keep set k to 30")
    assert code(console) == ["k = 30", "m = n * 2", "print(m)"]
    assert "turn 2 is kept, although `n` no longer exists" in said(console)
    dispatch(console, "/edit 1 --all set k to 31")
    assert code(console) == ["k = 31", "m = k * 2", "print(m, k)"]


def test_a_branch_that_has_a_name_keeps_it_and_each_edit_gets_one_of_its_own(tmp_path: Path) -> None:
    console = begun(tmp_path, "n = 30", "n = 40", "n = 50")
    dispatch(console, "/branch first")
    first = console.session.head
    dispatch(console, "/edit 1 set n to 30")
    assert "/goto first returns to the old program" in said(console)
    dispatch(console, "/edit 1 set n to 40")
    dispatch(console, "/edit 1 set n to 50")
    assert list(console.session.branches) == ["first", "before-edit-1", "before-edit-1-2"]
    assert console.session.branches["first"] == first


def test_an_edit_of_the_last_turn_shows_no_difference_and_names_the_old_one(tmp_path: Path) -> None:
    console = begun(tmp_path, "print(m + 1)")
    dispatch(console, "/edit print one more")
    assert code(console) == ["n = 12", "m = n * 2", "print(m + 1)"]
    assert "@@" not in said(console)
    assert "/goto before-edit-3 returns" in said(console)


def test_where_nothing_is_run_an_edit_works_too(tmp_path: Path) -> None:
    console = begun(tmp_path, "k = 30", "m = k * 2")
    dispatch(console, "/set run off")
    dispatch(console, "/edit 1 set k to 30")
    assert code(console) == ["k = 30", "m = k * 2", "print(m)"]


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("3 --ask print  all", FlaggedArgument("--ask", "3 print  all")),
        ("--all 3 print all", FlaggedArgument("--all", "3 print all")),
        ("3 --keep", FlaggedArgument("--keep", "3")),
        ("--ask", FlaggedArgument("--ask", "")),
        ("3 add a --ask flag", FlaggedArgument("", "3 add a --ask flag")),
        ("add --ask", FlaggedArgument("", "add --ask")),
        ("", FlaggedArgument("", "")),
    ],
)
def test_a_flag_stands_before_or_after_the_number(argument: str, found: FlaggedArgument) -> None:
    assert parse_flag(argument) == found


@pytest.mark.parametrize("argument", ["--axe 1", "1 --axe", "--"])
def test_a_flag_that_is_none_is_refused_with_those_there_are(argument: str, tmp_path: Path) -> None:
    console = begun(tmp_path)
    with pytest.raises(MtchatError, match="--ask, --keep, --all"):
        dispatch(console, f"/edit {argument}")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a\nb\n", "a\nc\n", ["  a", "- b", "+ c"]),
        ("", "a\n", ["+ a"]),
        ("a\n", "a\n", []),
        ("1\n2\n3\n4\n5\n", "1\n2\n3\n4\n6\n", ["  3", "  4", "- 5", "+ 6"]),
        (
            "a\nb\nc\nd\ne\nf\ng\n",
            "A\nb\nc\nd\ne\nf\nG\n",
            ["- a", "+ A", "  b", "  c", "…", "  e", "  f", "- g", "+ G"],
        ),
    ],
)
def test_a_difference_has_the_lines_that_changed_and_a_few_around(
    old: str, new: str, lines: list[str]
) -> None:
    assert diff_lines(old, new) == lines
