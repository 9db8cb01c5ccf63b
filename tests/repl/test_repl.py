"""The REPL in a pseudo-terminal, with a model from a table: what is typed, and what is seen."""

import re
import stat
import sys
from pathlib import Path

import pytest

from mtchat.console import slash
from mtchat.session.turn import EDITED, INTERRUPTED, KEPT
from tests.support.repl import REPL, say, session, started
from tests.support.terminal import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_Z,
    ENTER,
    PASTE,
    TAB,
    UP,
    Terminal,
    terminal,
)

pytestmark = pytest.mark.terminal


def test_a_turn_shows_code_and_outcome_and_is_on_disk_at_once(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    text = say(screen, "define x", "2› ")
    assert re.search(r"x = 1\nwritten in 0.3 s\n✓ ran in 0.1 s", text)
    assert [turn.chunk for turn in session(tmp_path).path] == ["x = 1"]


def test_code_is_highlighted_with_the_palette_of_the_terminal(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "print x", "2› ")
    assert b"\x1b[36mprint" in screen.raw


def test_the_output_of_the_last_turn_alone_is_shown(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "print x", "2› ")
    text = say(screen, "print x", "3› ")
    assert text.count("\n│ 1\n") == 2


def test_a_failing_turn_says_where_and_offers_the_fix(screen: Terminal) -> None:
    screen.wait("1› ")
    text = say(screen, "fail", "2› ")
    assert "✗ turn 1, line 1: ValueError: no" in text
    assert "/fix asks the model to repair it" in text
    text = say(screen, "/fix", "fix ended after round 1: the program runs")
    assert "fixing turn 1, attempt 1 of 3" in text


def test_the_next_context_carries_the_last_error(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "fail", "2› ")
    text = say(screen, "/context now what", "family instruct")
    assert "turn 1, line 1: ValueError: no" in text.partition("/context")[2]
    assert "now what" in text


def test_a_pasted_text_is_one_instruction_and_enter_sends_it(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    screen.send(PASTE[0] + "two lines\nof text" + PASTE[1])
    screen.wait("of text")
    say(screen, "", "2› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["two lines\nof text"]


def test_alt_enter_makes_a_line(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    screen.send("two lines" + ALT_ENTER + "of text" + ENTER)
    screen.wait("2› ")
    assert [turn.chunk for turn in session(tmp_path).path] == ["both = True"]


def test_ctrl_c_while_the_model_writes_keeps_the_partial_turn_marked(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "slowly", "line_3 = 3")
    screen.send(CTRL_C)
    text = screen.wait("2› ")
    assert "■ interrupted" in text
    turn = session(tmp_path).path[0]
    assert turn.status == INTERRUPTED
    assert "line_3 = 3" in turn.chunk
    assert "slowly (interrupted)" in say(screen, "/show", "slowly (interrupted)")


def test_what_is_typed_while_the_model_writes_is_not_shown_but_waits_for_the_prompt(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "briefly", "line_3 = 3")
    screen.send("/set seed")
    text = screen.wait("line_18 = 18")
    assert "/set seed" not in text
    screen.wait("2› /set seed")


def test_an_interrupted_piece_that_is_not_whole_says_so(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "brackets", "items = [")
    screen.send(CTRL_C)
    screen.wait("the code so far is kept, but it is incomplete; /code edits it")


def test_ctrl_c_at_the_prompt_says_how_to_leave_and_ctrl_d_leaves(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    screen.send(CTRL_C)
    screen.wait("Ctrl-D or /quit quits; everything is saved")
    screen.send(CTRL_D)
    screen.wait("saved in 2026-01-01-1.jsonl")
    assert screen.ended() == 0


def test_quit_leaves_and_a_session_without_turns_leaves_no_file(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    screen.send("/quit" + ENTER)
    assert screen.ended() == 0
    assert list(tmp_path.glob("*.jsonl")) == []


def test_undo_says_what_left_and_where_one_is_and_redo_brings_it_back(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "print x", "3› ")
    text = say(screen, "/undo", "now at turn 1: define x")
    assert "undone: print x" in text
    assert len(session(tmp_path).path) == 1
    assert len(session(tmp_path).turns) == 2
    say(screen, "/redo", "now at turn 2: print x")
    assert len(session(tmp_path).path) == 2
    assert "nothing to redo" in say(screen, "/redo", "nothing to redo")


def test_a_rename_reaches_all_turns_and_one_that_is_not_safe_says_why(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "f = lambda x: x + 1", "3› ")
    say(screen, "rename x to size", lambda text: text.count("\n3›") == 2)
    assert [turn.chunk for turn in session(tmp_path).path] == ["size = 1", "f = lambda x: x + 1"]
    say(screen, "print(eval('size'))", "4› ")
    text = say(screen, "rename size to length", "opens the code of the turn")
    assert "size was not renamed: the program evaluates text that may have the name in it" in " ".join(
        text.split()
    )
    assert next(turn.chunk for turn in session(tmp_path).path) == "size = 1"


def test_the_tree_marks_a_turn_that_ran_with_the_later_ones(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "print x", "3› ")
    say(screen, "/correct 1 corrected", lambda text: text.count("\n3›") == 2)
    say(screen, "/tree", "✓ 1b  define x / corrected\n✓ 2b  print x  ← now")


def test_retry_keeps_the_first_try_beside_the_second(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "/retry", lambda text: text.count("\n2›") == 2)
    turns = session(tmp_path).turns
    assert [turn.parent for turn in turns] == ["", ""]
    assert turns[0].provenance.sampling != turns[1].provenance.sampling


def test_edit_brings_the_instruction_up_and_later_turns_keep_their_code(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "define y", "2› ")
    say(screen, "print x", "3› ")
    screen.send("/edit 1" + ENTER)
    screen.wait("edit 1› define y")
    screen.send("\x7fx" + ENTER)
    screen.wait(lambda text: text.count("\n3›") == 2)
    path = session(tmp_path).path
    assert [(turn.instruction, turn.chunk) for turn in path] == [
        ("define x", "x = 1"),
        ("print x", "print(x)"),
    ]
    assert path[1].status == KEPT


def test_code_opens_the_editor_with_its_arguments_and_takes_what_was_saved(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\n[ "$1" = --wait ] && printf \'x = 41\\n\' > "$2"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    with started(tmp_path, env={"EDITOR": f"{editor} --wait", "VISUAL": ""}) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        say(screen, "/code 1", "turn 1 now has your code")
        screen.wait(lambda text: text.count("\n2›") == 2)
        assert [(turn.chunk, turn.status) for turn in session(tmp_path).path] == [("x = 41", EDITED)]


def test_ctrl_x_ctrl_e_edits_the_instruction_and_does_not_send_it(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf 'define x' > \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    with started(tmp_path, env={"EDITOR": str(editor), "VISUAL": ""}) as screen:
        screen.wait("1› ")
        screen.send("defin\x18\x05")
        screen.wait("1› define x")
        assert not (tmp_path / "2026-01-01-1.jsonl").exists()
        say(screen, "", "2› ")
        assert session(tmp_path).path[0].instruction == "define x"


def test_an_editor_that_is_not_there_is_an_error_and_the_session_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, env={"EDITOR": "no-such-editor -w", "VISUAL": ""}) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        say(screen, "/code", "cannot edit with 'no-such-editor'")
        say(screen, "print x", "3› ")


def test_show_without_a_number_shows_every_turn_under_its_instruction(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "print x", "3› ")
    text = say(screen, "/show", "print(x)\n\n3› ").partition("/show")[2]
    assert re.search(r"1› define x\nx = 1\n\n2› print x\nprint\(x\)", text)


def test_control_characters_of_the_model_are_shown_and_never_sent(screen: Terminal) -> None:
    screen.wait("1› ")
    text = say(screen, "please escape", "2› ")
    assert r"s = '\x1b[31mred\x1b]0;title\x07'" in text
    assert b"\x1b[31mred" not in screen.raw
    assert b"\x1b]0;title" not in screen.raw


def test_a_reply_that_talks_gives_code_alone(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "talk", "2› ")
    assert session(tmp_path).path[0].chunk == "y = 2"


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        ("/rnu", "no command /rnu (did you mean /run?); /help lists them"),
        ("/undo", "nothing to undo: the program has no turns"),
        ("/undo x", "'x' is not a whole number of at least 1"),
        ("/show 3", "the program has no turns yet"),
        ("/set temperature hot", "temperature must be a number, not 'hot'"),
        ("/set nothing 1", "no setting 'nothing'"),
        ("/run", "there is no program yet"),
        ("/open nowhere", "no session 'nowhere'"),
        ("/export docx", "docx"),
        ("/retry", "the program has no turns yet"),
        ("/fix", "the program has no turns yet"),
        ("/fix 1000", "at most 9 rounds"),
        ("/fix x", "'x' is not a whole number of at least 1"),
    ],
)
def test_bad_input_is_an_error_that_says_what_to_do_and_the_session_goes_on(
    screen: Terminal, line: str, sign: str
) -> None:
    screen.wait("1› ")
    say(screen, line, sign)
    say(screen, "define x", "2› ")


def test_slash_completes_commands_with_what_they_do(screen: Terminal) -> None:
    screen.wait("1› ")
    screen.send("/un")
    screen.wait("Undoes the last turn")
    screen.send(TAB)
    screen.wait("1› /undo")


def test_arguments_complete_too(screen: Terminal) -> None:
    screen.wait("1› ")
    screen.send("/set temp")
    screen.wait("0 is greedy")


def test_a_new_session_is_greeted_as_new(tmp_path: Path) -> None:
    with started(tmp_path, "sesions") as screen:
        screen.wait("new session sesions")


def test_history_is_on_disk_and_up_brings_it_back(tmp_path: Path) -> None:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        screen.send(CTRL_D)
        assert screen.ended() == 0
    with started(tmp_path) as screen:
        screen.wait("1› ")
        screen.send("def")
        screen.wait("1› define x")
        screen.send("\x15")
        screen.send(UP)
        screen.wait("1› define x")


def test_a_session_goes_on_where_it_was_left(tmp_path: Path) -> None:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        say(screen, "define x", "2› ")
        say(screen, "/save numbers", "this session is now numbers.jsonl")
        screen.send(CTRL_D)
        assert screen.ended() == 0
    with started(tmp_path, "numbers") as screen:
        text = screen.wait("2› ")
        assert "numbers: now at turn 1: define x" in text
        say(screen, "/sessions", "* numbers")


def test_the_toolbar_shows_model_turn_tokens_state_and_tier(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    screen.wait("fake │ turn 2 │ 102/1000 tokens (10 %) │ ok │ sandbox fake │ 2026-01-01-1")


def test_a_narrow_toolbar_ends_with_a_whole_word(tmp_path: Path) -> None:
    with terminal([str(REPL), str(tmp_path)], tmp_path, columns=30) as screen:
        screen.wait("1› ")
        screen.send("define x" + ENTER)
        screen.wait(lambda text: text.rstrip().endswith("\n fake │ turn 2 │ ok"))


def test_a_second_terminal_on_the_same_session_is_refused_clearly(tmp_path: Path) -> None:
    with started(tmp_path, "one") as first:
        first.wait("1› ")
        say(first, "define x", "2› ")
        with started(tmp_path, "one") as second:
            second.wait(lambda text: str(first.child.pid) in text)
            assert second.ended() == 1


def test_help_lists_every_command_and_says_more_about_one(screen: Terminal) -> None:
    screen.wait("1› ")
    text = say(screen, "/help", "Ctrl-D")
    for name in slash.names():
        assert f"/{name}" in text
    say(screen, "/help undo", "Undoes the last turn, or the last N")


def test_no_color_is_respected(tmp_path: Path) -> None:
    with started(tmp_path, env={"NO_COLOR": "1"}) as screen:
        screen.wait("1› ")
        say(screen, "print x", "✓ ran")
        assert b"\x1b[36mprint" not in screen.raw


def test_a_terminal_of_any_size_works(tmp_path: Path) -> None:
    words = [str(REPL), str(tmp_path)]
    with terminal(words, tmp_path, {"COLUMNS": "", "LINES": ""}, columns=30, rows=8) as screen:
        screen.wait("1›")
        say(screen, "define x", "x = 1")


def test_a_policy_that_weighs_candidates_shows_the_one_that_it_takes(
    screen: Terminal, tmp_path: Path
) -> None:
    screen.wait("1› ")
    say(screen, "/set policy select", "policy is select")
    text = say(screen, "flaky", "2› ")
    shown = text.partition("1› flaky")[2]
    assert re.search(r"raise ValueError\('no'\)\n(.*\n)*the best of 8 candidates:\nsteady = 2\n✓ ran", shown)
    saved = session(tmp_path)
    assert [turn.chunk for turn in saved.path] == ["steady = 2"]
    assert [turn.chunk for turn in saved.children("")] == ["raise ValueError('no')", "steady = 2"]
    text = say(screen, "/set policy worst", "is not a policy")
    assert "default" in text


def test_of_candidates_that_all_fail_one_is_shown_and_the_others_are_counted(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "/set policy select", "policy is select")
    text = say(screen, "hopeless", "another attempt fails, too")
    assert text.count("raise ValueError") == 1
    assert text.count("✗") == 1


def test_a_mending_that_helps_is_shown_and_one_that_does_not_is_not(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "/set policy default", "policy is default")
    text = say(screen, "fail", "fixing turn 1, attempt 1 of 1\nz = 3\n✓ ran")
    assert text.count("✗") == 1


def unclear(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "/set policy select", "policy is select")
    say(screen, "/set ask always", "ask is always")
    say(screen, "unclear", "Which one?")


def test_a_next_step_typed_at_a_question_is_done_after_it(screen: Terminal, tmp_path: Path) -> None:
    unclear(screen)
    say(screen, "define x", "Is that a clarification of this step, or a new one? [this] or next:")
    screen.send("next" + ENTER)
    screen.wait("skipped the question; next: define x")
    screen.wait("\n3› ")
    assert "2› define x\nx = 1\n" in screen.text
    saved = session(tmp_path).path
    assert [turn.instruction for turn in saved] == ["unclear", "define x"]
    assert saved[0].meant == ""


def test_a_command_typed_at_a_question_leaves_it_open_and_is_done(screen: Terminal, tmp_path: Path) -> None:
    unclear(screen)
    say(screen, "/tree", "skipped the question; next: /tree")
    screen.wait("unclear  ← now")
    say(screen, "/set ask never", "ask is never")
    say(screen, "define x", "3› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["unclear", "define x"]


def test_what_is_typed_ahead_of_a_postponed_line_comes_after_it(screen: Terminal, tmp_path: Path) -> None:
    unclear(screen)
    screen.send(f"/undo{ENTER}print x{ENTER}")
    screen.wait("skipped the question; next: /undo")
    screen.wait("2› /undo")
    screen.wait(lambda text: "\n2›" in text.partition("1› print x")[2])
    assert "Application.exit" not in screen.text
    assert [turn.instruction for turn in session(tmp_path).path] == ["print x"]
    screen.send(UP + UP)
    screen.wait("\n2› /undo")


def test_candidates_that_change_nothing_leave_nothing_on_the_screen(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "/set policy select", "policy is select")
    text = say(screen, "define x", "2› ")
    assert b"comparing 8 candidates" in screen.raw
    assert "comparing" not in text


def test_ctrl_z_suspends_and_fg_goes_on_where_it_was(tmp_path: Path) -> None:
    shell = "import os; os.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])"
    with terminal(["-c", shell], tmp_path, {"PS1": "shell> ", "HISTFILE": ""}) as screen:
        screen.wait("shell>")
        screen.send(f"{sys.executable} {REPL} {tmp_path}{ENTER}")
        screen.wait("1› ")
        screen.send("define")
        screen.wait("1› define")
        screen.send(CTRL_Z)
        screen.wait("Stopped")
        screen.send(f"fg{ENTER}")
        screen.wait(lambda text: "1› define" in text.partition("shell> fg")[2])
        screen.send(f" x{ENTER}")
        screen.wait("2› ")
        screen.send(CTRL_D)
        screen.wait("to continue: ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["define x"]


def test_context_tells_what_the_last_turn_cost(screen: Terminal) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(
        screen,
        "/context",
        "turn 1 was written with 2 tokens in 0.3 s (10.0 tokens/s); 100 prompt tokens (60 cached)",
    )
