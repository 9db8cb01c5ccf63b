"""Nothing raw reaches a terminal: what acts on it or cannot be seen is shown, whoever prints it."""

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.history import FileHistory, InMemoryHistory

from mtchat.cli.output import DRAWN, Output, escape_text, guard_streams
from mtchat.console.view import View
from mtchat.export.format import export_session
from mtchat.repl.app import open_history
from mtchat.session.outcome import File, Outcome
from mtchat.session.program import CheckResult
from mtchat.session.provenance import Fill, Step
from mtchat.session.session import Session
from mtchat.session.text import ODD, escape_controls, mask_controls, name_controls, restore_controls
from mtchat.session.turn import Turn
from mtchat.store import Log
from tests import FAKE_REPL
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, terminal

REPL = FAKE_REPL
HOSTILE = "a\x1b]0;t\x07\x1b]52;c;eA==\x07\x1bP1$r\x1b\\\x9b2J\x90q\u202eb\u2028c\x08d\u200be"
RAW = [b"\x1b]0;", b"\x1b]52", b"\x1bP", "\x9b".encode(), "\x90".encode(), "\u202e".encode(), b"\x08d"]
RAW += ["\u2028".encode(), "\u200b".encode()]
MARKS = st.text(st.characters(exclude_categories=()), max_size=20)


@pytest.mark.parametrize(
    "sign",
    [
        *(
            "\x00",
            "\x07",
            "\x08",
            "\x1b",
            "\r",
            "\x7f",
            "\x80",
            "\x9b",
            "\u061c",
            "\u200e",
            "\u200f",
            "\u202e",
        ),
        *("\u2066", "\u2028", "\u2029", "\ud800", "\u00ad", "\u034f", "\u115f", "\u1160", "\u17b4", "\u180b"),
        *("\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\u2064", "\u206a", "\u2800", "\u3164", "\ufe00"),
        *("\ufe0f", "\ufeff", "\uffa0", "\ufff9", "\ufffe", "\U0001d173", "\U000e0001", "\U000e0041"),
        *("\U000e007f", "\U000e0100", "\U000e01ef"),
    ],
)
def test_a_sign_that_acts_or_cannot_be_seen_is_shown_by_its_code(sign: str) -> None:
    shown = escape_controls(f"x{sign} = 1")
    assert shown == f"x{ascii(sign)[1:-1]} = 1"
    assert shown.isprintable()
    assert len(mask_controls(f"x{sign} = 1")) == len(f"x{sign} = 1")
    assert sign not in mask_controls(f"x{sign} = 1")


@pytest.mark.parametrize(
    "text",
    [
        *("plain", "a\tb\nc", "naïve", "数えて 한국어", "☀️ and 👩‍🔬, 👨‍👩‍👧, ❤️‍🔥, 3️⃣, 👍🏽", "می‌خواهم", "क्‍ष"),
        *("⣿⠀⠀⣿\n⠀⠀⡇", "│ ─ █ ░ ✓ ✗"),
    ],
)
def test_what_people_read_is_sent_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


@given(MARKS)
def test_what_is_shown_has_no_control_signs_and_what_an_editor_gets_comes_back(text: str) -> None:
    assert all(sign in "\n\t" or ord(sign) >= 0x20 for sign in escape_controls(text))
    assert escape_controls(escape_controls(text)) == escape_controls(text)
    assert restore_controls(name_controls(text)) == text
    assert "\x1b" not in name_controls(text)


@given(MARKS, MARKS)
def test_a_terminal_gets_colours_and_nothing_else_that_acts(before: str, after: str) -> None:
    sent = escape_text(f"{before}\x1b[31m{after}\x1b[0m\r\x1b[2K")
    assert not ODD.search(DRAWN.sub("", sent).replace("\ufe0f", "").replace("\u200d", ""))
    assert "\x1b[31m" in sent


@pytest.mark.parametrize(
    "text", ["\x1b[8mhidden", "\x1b[2J", "\x1b[3;1H", "\x1b[1A", "\x1b[0;8m", "\ra", "\x1b[008m"]
)
def test_what_hides_or_moves_is_shown_on_a_terminal(text: str) -> None:
    assert escape_text(text) == escape_controls(text)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_text_goes_through_as_it_is() -> None:
    for stream, wanted in ((io.StringIO(), HOSTILE), (Screen(), escape_controls(HOSTILE))):
        Output(stream).write(HOSTILE)
        assert stream.getvalue() == wanted


def test_print_anywhere_is_guarded_and_the_streams_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with guard_streams():
        print(HOSTILE, file=sys.stderr)
    assert sys.stderr is screen
    assert screen.getvalue() == escape_controls(HOSTILE) + "\n"


def test_a_view_says_nothing_raw_whatever_an_outcome_holds() -> None:
    screen = Screen()
    outcome = Outcome(
        HOSTILE, 1, error=HOSTILE, stdout=HOSTILE, stderr=HOSTILE, outputs=(HOSTILE,), note=HOSTILE,
        files=(File(HOSTILE, 1),), skipped=(HOSTILE,),
        check_results=(CheckResult(1, HOSTILE, False, HOSTILE),),
    )  # fmt: skip
    view = View(screen, live=True, color=True)
    view.outcome(outcome, HOSTILE, HOSTILE)
    view.turn(1, Turn(HOSTILE, HOSTILE, provenance=Fill(by=HOSTILE)), HOSTILE)
    view.table([(HOSTILE, HOSTILE)], (40,))
    view.row(HOSTILE, HOSTILE)
    view.live_output()("stdout", HOSTILE)
    view.transient(HOSTILE)
    assert escape_text(screen.getvalue()) == screen.getvalue()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a session that has such signs in every field."""
    provenance = Step("no-such-\x1b]0;t\x07model.gguf", "f", "float32", "instruct", error=HOSTILE)
    turn = Turn(HOSTILE, f"s = '''{HOSTILE}'''\n", provenance=provenance, typed=HOSTILE)
    session = Session("evil", f"# {HOSTILE}\n").extend((turn,))
    (tmp_path / "sessions").mkdir()
    (tmp_path / "x.py").write_text("print(1)")
    with Log.open(tmp_path / "sessions" / "evil.jsonl") as log:
        log.write(session.with_outcome(Outcome(error=HOSTILE, outputs=(HOSTILE,), files=(File(HOSTILE, 1),))))
    return tmp_path


def raw(sent: bytes) -> list[bytes]:
    return [sign for sign in RAW if sign in sent]


@pytest.mark.terminal
@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (["export", "evil", "--to", "py"], "\\x1b]0;t"),
        (["export", "evil", "--to", "ipynb"], "\\u202e"),
        (["sessions"], "1 turn "),
        (["replay", "evil", "--verify"], "no-such-"),
        (["-p", "print", "--model", "no\x1b]0;t\x07such.gguf"], "no model at"),
        (["run", "no\x1b]0;t\x07such.py"], "cannot read"),
        (["models", "--\x1b]0;t\x07"], "unrecognized"),
    ],
)
def test_no_command_sends_anything_raw_to_a_terminal(hostile: Path, words: list[str], sign: str) -> None:
    argv = ["-m", "mtchat", *words]
    with terminal(argv, hostile, {"HOME": str(hostile)}) as screen:
        screen.wait(sign)
        screen.ended()
        assert raw(screen.raw) == []


@pytest.mark.slow
def test_an_export_into_a_pipe_is_the_text_as_it_is(hostile: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "mtchat",
        "export",
        "evil",
        "--to",
        "code",
        "--sessions",
        str(hostile / "sessions"),
    ]
    done = subprocess.run(argv, capture_output=True, check=True)
    assert f"s = '''{HOSTILE}'''" in done.stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["sessions"],
        ["models"],
        ["export", "evil"],
        ["run", "x.py"],
    ],
)
def test_output_that_cannot_be_written_is_told_in_a_line(hostile: Path, words: list[str]) -> None:
    argv = [sys.executable, "-m", "mtchat", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=hostile,
            env={**os.environ, "HOME": str(hostile)},
        )
    assert done.stderr.splitlines()[-1].endswith("cannot write output: No space left on device")
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


@pytest.mark.terminal
def test_the_repl_offers_and_edits_a_hostile_session_with_nothing_raw(hostile: Path) -> None:
    editor = hostile / "editor"
    editor.write_text('#!/bin/sh\ncat "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    with terminal(
        [str(REPL), str(hostile / "sessions")], hostile, {"EDITOR": str(editor), "VISUAL": ""}
    ) as screen:
        screen.wait("1› ")
        screen.send("/open evil" + ENTER)
        screen.wait("2› ")
        screen.send("/edit 1" + ENTER)
        screen.wait("a�")
        screen.send(CTRL_C)
        screen.send("/code 1" + ENTER)
        screen.wait("the code is unchanged")
        screen.send(CTRL_D)
        screen.ended()
        assert raw(screen.raw) == []
        assert "⟦U+001B⟧]0;t⟦U+0007⟧" in screen.text


@pytest.mark.parametrize("history", [b"", b"\n# 2026-01-01\n+one\n" * 300_000, b"x" * 5_000_000])
def test_a_history_that_has_grown_keeps_its_end_and_is_for_the_user_alone(
    history: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "state" / "history"
    file.parent.mkdir()
    file.write_bytes(history)
    file.chmod(0o644)
    assert isinstance(open_history(file), FileHistory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    left = file.read_bytes()
    assert len(left) <= 2**20 + 1
    assert history.endswith(left)
    assert not left or left.startswith(b"\n# 2026") or b"#" not in history


def test_a_history_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "history")
    assert isinstance(open_history(tmp_path / "history"), InMemoryHistory)
    assert isinstance(open_history(tmp_path / "new" / "history"), FileHistory)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_an_export_to_a_terminal_by_its_name_is_escaped_and_to_another_place_as_it_is(tmp_path: Path) -> None:
    session = Session("evil").extend((Turn("x", f"s = '{HOSTILE}'"),))
    main, side = os.openpty()
    export_session(session, "code", Path(os.ttyname(side)), escape_controls)
    assert raw(os.read(main, 10_000)) == []
    assert HOSTILE in export_session(session, "code", tmp_path / "x.py", escape_controls).read_text("utf-8")
    for each in (main, side):
        os.close(each)
