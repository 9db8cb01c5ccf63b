"""Corrections as the user meets them: at the console, on a terminal, in scripts and with a real model."""

from contextlib import suppress
from pathlib import Path

import pytest

from mtchat.errors import ExitCode, MtchatError
from mtchat.features.correction.view import describe_effect
from mtchat.generate.events import ChunkChange, CorrectionCompared
from mtchat.repl.app import dispatch
from mtchat.session.prompt import Piece, Usage
from mtchat.session.turn import EDITED, INTERRUPTED, KEPT
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said
from tests.support.fake_repl import run
from tests.support.repl import say, session
from tests.support.scripts import needs_sandbox, played
from tests.support.shell import mtchat
from tests.support.starter import needs_small
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, PASTE, Terminal, terminal

COUNT = "def count(text):\n    return 1"
OTHER = "def count(text):\n    return 2"
UNTIL = 240


READINGS = dict.fromkeys(("make it return 2", "make x a string", "make it better"), "change 1")


def spoken(folder: Path, *replies: str):
    return console_in(folder, Spoken(*replies, readings=READINGS))


def test_a_correction_changes_the_turn_and_shows_what_changed_and_the_way_out(tmp_path: Path) -> None:
    console = spoken(tmp_path, COUNT, "print(count(''))", OTHER)
    for text in ("write count", "print it", "make it return 2"):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == [OTHER, "print(count(''))"]
    assert "changing turn 1: write count (Ctrl-T makes it a new step)\n" in said(console)
    assert "  def count(text):\n-     return 1\n+     return 2\n" in said(console)
    assert said(console).count("makes it a new step") == 1
    assert load(console.log.path) == console.session


def test_what_all_turns_print_from_the_changed_one_on_is_shown(tmp_path: Path) -> None:
    console = spoken(tmp_path, "print(0)", "print(5)", "print(1)", "print(7)")
    for text in ("print 0", "print 5", "print 1"):
        dispatch(console, text)
    before = len(said(console))
    dispatch(console, "/correct 2 make it 7")
    assert said(console)[before:].count("│ 1\n") == 2  # the run of these tests prints 1 for each print


def test_undo_and_next_take_the_same_words_as_a_new_step(tmp_path: Path) -> None:
    console = spoken(tmp_path, COUNT, OTHER, "x = 3")
    for text in ("write count", "make it return 2", "/undo", "/next make it return 2"):
        dispatch(console, text)
    assert "undone: correction: make it return 2" in said(console)
    assert [turn.chunk for turn in console.session.path] == [COUNT, "x = 3"]
    assert console.session.path[-1].instruction == "make it return 2"


def test_a_correction_that_was_taken_back_can_be_said_again(tmp_path: Path) -> None:
    console = spoken(tmp_path, COUNT, OTHER, OTHER)
    for text in ("write count", "make it return 2", "/undo", "make it return 2", "rename count to two"):
        dispatch(console, text)
    for text in ("/undo", "rename count to two"):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == [OTHER.replace("count", "two")]
    assert said(console).count("makes it a new step") == 4
    assert load(console.log.path) == console.session


def test_correct_changes_the_turn_that_is_named_whatever_the_words(tmp_path: Path) -> None:
    console = spoken(tmp_path, "x = 1", "y = 1", "x = 5")
    for text in ("set x", "set y", "/correct 1 five"):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == ["x = 5", "y = 1"]
    assert console.session.path[0].instruction == "set x\nfive"
    with pytest.raises(MtchatError, match="no turn 7"):
        dispatch(console, "/correct 7 five")
    with pytest.raises(MtchatError, match="what should change"):
        dispatch(console, "/correct")


@pytest.mark.parametrize("command", ["/correct 2 two", "/edit 2 two"])
def test_a_change_that_breaks_a_turn_that_it_is_not_about_says_so(command: str, tmp_path: Path) -> None:
    console = spoken(tmp_path, "x = 1", "y = 1", "print(x)", "x = 2", "x = 2")
    for text in ("set x", "set y", "print x", command):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == ["x = 1", "x = 2", "print(x)"]
    assert "turn 3 no longer does what it did, though the change is not about it\n" in said(console)


@pytest.mark.parametrize("command", ["/correct it", "/correct 1 it"])
def test_correct_where_there_is_nothing_to_change_says_so(command: str, tmp_path: Path) -> None:
    with pytest.raises(MtchatError, match="no turns yet"):
        dispatch(console_in(tmp_path), command)
    console = spoken(tmp_path, "")
    dispatch(console, "think")
    assert console.session.path[0].chunk == ""
    with pytest.raises(MtchatError, match="code to change yet"):
        dispatch(console, command)


def test_corrections_can_be_switched_off(tmp_path: Path) -> None:
    console = spoken(tmp_path, COUNT, "x = 2")
    dispatch(console, "write count")
    dispatch(console, "/set corrections off")
    dispatch(console, "make it return 2")
    assert [turn.chunk for turn in console.session.path] == [COUNT, "x = 2"]


def test_a_correction_that_breaks_the_program_says_so_and_offers_the_way_back(tmp_path: Path) -> None:
    console = spoken(tmp_path, "x = 1", "print(x)", "raise ValueError", "raise TypeError")
    for text in ("set x", "print x", "make x a string"):
        dispatch(console, text)
    assert "the program ran before this change: /undo reverts it, /fix asks the model" in said(console)
    dispatch(console, "/undo")
    assert [turn.chunk for turn in console.session.path] == ["x = 1", "print(x)"]


def test_a_correction_that_changes_nothing_says_so(tmp_path: Path) -> None:
    console = spoken(tmp_path, "x = 1", "x = 1", "x = 1")
    dispatch(console, "set x")
    dispatch(console, "make it better")
    assert said(console).count("the new code is the same") == 1
    assert "the model has nothing to change there, so the program is as it was" in said(console)
    assert [turn.instruction for turn in console.session.path] == ["set x"]


def test_an_interrupted_correction_keeps_the_program_and_what_was_written(tmp_path: Path) -> None:
    class Interrupted(Spoken):
        def complete(self, prompt, sampling):
            for piece in super().complete(prompt, sampling):
                yield piece if len(self.asked) == 1 else type(piece)("half = 1\n")
                if len(self.asked) > 1:
                    raise KeyboardInterrupt

    console = console_in(tmp_path, Interrupted("x = 1", "half = 1", readings=READINGS))
    dispatch(console, "set x")
    dispatch(console, "make it better")
    assert "the program is unchanged; the attempt is kept as a branch" in said(console)
    assert load(console.log.path).path[-1].chunk == "x = 1"
    assert load(console.log.path).turns[-1].status == INTERRUPTED


def test_a_function_written_again_by_an_ordinary_turn_takes_the_old_one_s_place(tmp_path: Path) -> None:
    console = spoken(tmp_path, COUNT, OTHER)
    dispatch(console, "write count")
    dispatch(console, "write a count that gives 2")
    assert [turn.chunk for turn in console.session.path] == [OTHER]
    assert "changing turn 1: write count" in said(console)
    dispatch(console, "/undo")
    assert [turn.chunk for turn in console.session.path] == [COUNT]


def test_a_rename_on_a_terminal_shows_each_turn_and_undo_brings_the_old_name_back(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "print x", "3› ")
    text = say(screen, "rename x to total", lambda text: text.count("\n3›") == 2)
    assert re_found(
        text, ["turn 1", "- x = 1", "+ total = 1", "turn 2", "- print(x)", "+ print(total)", "✓ ran"]
    )
    assert [turn.status for turn in session(tmp_path).path] == [EDITED, KEPT]
    say(screen, "/undo", "undone: correction: rename x to total")
    assert [turn.chunk for turn in session(tmp_path).path] == ["x = 1", "print(x)"]
    say(screen, "/redo", "restored: correction: rename x to total")
    assert [turn.chunk for turn in session(tmp_path).path] == ["total = 1", "print(total)"]


def re_found(text: str, signs: list[str]) -> bool:
    """Whether a text has these, in this order."""
    at = 0
    for sign in signs:
        at = text.find(sign, at)
        if at < 0:
            return False
    return True


def test_after_a_failure_enter_mends_it(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "fail", "2› /fix")
    say(screen, "", "fix ended after round 1: the program runs")
    assert [turn.chunk for turn in session(tmp_path).path] == ["z = 3"]


@pytest.mark.parametrize(
    "keys", ["define x", PASTE[0] + "define x" + PASTE[1], "\x7fdefine x", "\x15define x"]
)
def test_what_is_typed_or_pasted_after_a_failure_replaces_the_offer(
    screen: Terminal, tmp_path: Path, keys: str
) -> None:
    screen.wait("1› ")
    say(screen, "fail", "2› /fix")
    say(screen, keys, "3› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["fail", "define x"]


def test_the_fix_is_offered_once_for_each_failure(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "fail", "2› /fix")
    screen.send(CTRL_C)
    screen.wait(lambda text: "2›" in text.partition("Ctrl-D or /quit quits;")[2])
    say(screen, "define x", "3› ")
    assert "3› /fix" not in screen.text
    say(screen, "/undo 2", "1› ")
    say(screen, "fail", "2› ")


def test_what_is_typed_after_ctrl_c_put_the_offer_away_is_all_there(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "fail", "2› /fix")
    screen.send(CTRL_C + "/show 1")
    screen.wait("2› /show 1")


def test_ctrl_d_leaves_where_the_fix_is_offered(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "fail", "2› /fix")
    screen.send(CTRL_D)
    screen.wait("saved in")
    assert screen.ended() == 0


@pytest.mark.sandbox
@needs_sandbox
def test_a_script_takes_corrections_as_the_repl_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = played(tmp_path, ["set", "show", "rename x to total"], run=True)
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "noise\n42\n"
    assert [turn.chunk for turn in load(tmp_path / "played.jsonl").path] == [
        "total = 6\nprint('noise')",
        "print(total * 7)",
    ]
    assert "changing turn 1: set" in err
    assert "+ print(total * 7)" in err
    assert err.count("(/as step makes it a new step)") == 1


@pytest.mark.terminal
@pytest.mark.model
@needs_small
@needs_sandbox
def test_a_real_model_changes_what_it_wrote_and_verify_makes_it_again(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    words = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48", "story"]
    with terminal(words, tmp_path) as screen:
        screen.wait("1› ", 30)
        screen.send("Print the numbers from 1 to 5" + ENTER)
        screen.wait("\n2› ", UNTIL)
        screen.send("/correct make it start at 3" + ENTER)
        text = screen.wait(lambda text: text.count("\n2›") == 2, UNTIL)
        assert "changing turn 1: Print the numbers from 1 to 5\n" in text
        assert "\n│ 3\n│ 4\n│ 5\n✓ ran" in text
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
    (turn,) = load(tmp_path / "sessions" / "story.jsonl").path
    assert turn.instruction == "Print the numbers from 1 to 5\nmake it start at 3"
    same = mtchat(tmp_path, "replay", "story", "--verify")
    assert "regenerating turn 1 of" in same.stderr
    assert "1 of 1 turns are the same, byte for byte" in same.stdout, same.stderr


@pytest.mark.terminal
@pytest.mark.model
@needs_small
@needs_sandbox
def test_a_real_model_changes_one_turn_and_the_others_follow(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    words = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48", "story"]
    codes = (
        "squares = [i * i for i in range(100)]",
        "print(max(squares))",
        "cubes = [i**3 for i in range(100)]",
    )
    with terminal(words, tmp_path) as screen:
        screen.wait("1› ", 30)
        for number, code in enumerate(codes, start=2):
            screen.send(code + ENTER)
            screen.wait(f"\n{number}› ", UNTIL)
        screen.send("/correct 1 use range(1000) in place of range(100)" + ENTER)
        text = screen.wait(lambda text: text.count("\n4›") == 2, UNTIL)
        assert "turn 3 changes as well: `100` became `1000`" in text
        assert "turn 2: 9801 → 998001" in text
        assert "1 other turn kept unchanged" in text
        say(screen, "/undo", "undone: correction: use range(1000) in place of range(100)")
        say(screen, "/redo", "restored: correction: use range(1000) in place of range(100)")
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
    saved = load(tmp_path / "sessions" / "story.jsonl")
    assert [turn.chunk for turn in saved.path] == [code.replace("100", "1000") for code in codes]
    same = mtchat(tmp_path, "replay", "story", "--verify")
    assert "1 of 1 turns are the same, byte for byte" in same.stdout, same.stderr


def test_a_change_without_effect_is_said_to_have_none(tmp_path: Path) -> None:
    console = spoken(tmp_path, "x = 1", "print(x)", "x = 1  # one")
    for text in ("set x", "print x", "/correct 1 say so"):
        dispatch(console, text)
    assert "no effect: the code of turn 1 changed, but the program prints what it printed before" in said(
        console
    )
    assert "/correct N TEXT changes another turn, /undo reverts this change\n" in said(console)


@pytest.mark.sandbox
@needs_sandbox
def test_a_script_says_on_stderr_which_outputs_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = played(tmp_path, ["set", "show", "/correct 2 corrected"], run=True)
    assert code == ExitCode.DONE
    assert "turn 2: 42 → 6\n" in err


class Stopped(Spoken):
    """A model whose last reply is stopped, or that is gone by then."""

    def __init__(self, error: BaseException, *replies: str) -> None:
        super().__init__(*replies)
        self.error = error

    def complete(self, prompt, sampling):
        if not self.replies:
            yield Piece("x", Usage(1, 0, 1))
            raise self.error
        yield from super().complete(prompt, sampling)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MtchatError("model gone")])
def test_a_correction_that_is_stopped_or_fails_leaves_the_program_as_it_was(
    tmp_path: Path, error: BaseException
) -> None:
    console = console_in(tmp_path, Stopped(error, COUNT, "raise ValueError('no')"))
    dispatch(console, "write count")
    with suppress(MtchatError):
        dispatch(console, "/correct 1 return 2")
    assert [turn.chunk for turn in console.session.path] == [COUNT]
    assert [turn.chunk for turn in load(console.log.path).path] == [COUNT]


def test_a_correction_that_changes_nothing_leaves_the_branches(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken(COUNT, "print(count(''))", COUNT, COUNT))
    for line in ("write count", "print it", "/branch main", "/undo", "/correct 1 make it nicer"):
        dispatch(console, line)
    assert len(console.session.path_to(console.session.branches["main"])) == 2
    assert "the model has nothing to change there" in said(console)


def test_under_ask_a_function_written_again_is_asked_about_once(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken(COUNT, OTHER))
    dispatch(console, "write count")
    questions: list[str] = []

    def confirm(label: str) -> str:
        questions.append(label)
        raise KeyboardInterrupt

    console.questions.confirm = confirm
    dispatch(console, "/set run ask")
    dispatch(console, "/next write count so that it gives 2")
    assert len(questions) == 1


@pytest.mark.parametrize("when", ["ask", "off"])
def test_a_list_of_checks_runs_nothing_that_was_not_approved(tmp_path: Path, when: str) -> None:
    runs: list[str] = []

    def counted(*args, **kwargs):
        runs.append("ran")
        return run(*args, **kwargs)

    console = console_in(tmp_path, Spoken("x = 1"), runs=counted)
    dispatch(console, "set it")
    dispatch(console, f"/set run {when}")
    runs.clear()
    dispatch(console, "/check x == 1")
    dispatch(console, "/check")
    assert runs == []


@pytest.mark.parametrize(("files", "says"), [((), True), (("figure-1.png",), False)])
def test_what_files_hold_is_not_said_to_be_the_same(files: tuple[str, ...], says: bool) -> None:
    """A figure may look different although nothing that is printed differs."""
    changed = (ChunkChange(1, "plot()\n", "plot('red')\n"),)
    lines = list(describe_effect(CorrectionCompared(changed, (), (), 0, files)))
    assert any(line.startswith("no effect") for line in lines) is says


@pytest.mark.parametrize(
    ("turns", "line"),
    [
        ((3,), "turn 3 no longer does what it did, though the change is not about it"),
        ((3, 5), "turns 3 and 5 no longer do what they did, though the change is not about them"),
    ],
)
def test_the_turns_that_a_change_breaks_are_named(turns: tuple[int, ...], line: str) -> None:
    changed = (ChunkChange(1, "x = 1", "x = 2"),)
    assert list(describe_effect(CorrectionCompared(changed, (), (), 0, ("a.png",), turns))) == [line]
