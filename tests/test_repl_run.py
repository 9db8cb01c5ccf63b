"""The REPL with the real sandbox and no model: what the user can do while, or where, none is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.core.turn import Turn
from mtchat.sandbox import sandbox
from mtchat.store import Log, load
from tests.terminal import CTRL_C, CTRL_D, ENTER, Terminal, terminal

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(not sandbox.probe().ok, reason=f"no sandbox: {sandbox.probe().reason}"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Log.open(tmp_path / "made.jsonl") as log:
        first = log.session.add(Turn("say hello", "print('hello', flush=True)"))
        log.write(first)
        log.write(first.add(Turn("wait", "while True: pass", parent=first.head)))
    code = "import sys\nprint('careful', file=sys.stderr)\nopen('data.csv')"
    for name, chunk in {"warns": code, "chatty": "for n in range(3000): print(n)"}.items():
        with Log.open(tmp_path / f"{name}.jsonl") as log:
            log.write(log.session.add(Turn("do it", chunk)))
    return tmp_path


@pytest.fixture
def screen(folder: Path) -> Iterator[Terminal]:
    words = ["-m", "mtchat", "--sessions", str(folder), "--model", "./missing.gguf", "made"]
    with terminal(words, folder, {"VISUAL": "sed -i s/careful/careful!/"}) as screen:
        screen.wait("3› ", 30)
        yield screen


def test_ctrl_c_stops_a_run_and_shows_what_it_printed(screen: Terminal) -> None:
    screen.send("/run" + ENTER)
    screen.wait(lambda text: "\nhello" in text)
    screen.send(CTRL_C)
    screen.wait("■ the run was stopped")
    screen.send("/undo" + ENTER)
    screen.wait("now at turn 1: say hello")
    screen.send("/run" + ENTER)
    screen.wait(lambda text: "hello\n✓ ran" in text)


def test_a_run_that_takes_too_long_is_stopped_and_names_the_line(screen: Terminal) -> None:
    screen.send("/set seconds 0.5" + ENTER)
    screen.wait("seconds is 0.5")
    screen.send("/run" + ENTER)
    screen.wait("✗ turn 2, line 1: stopped after 0.5 s")


def test_what_a_program_writes_to_stderr_and_asks_for_is_told(screen: Terminal, folder: Path) -> None:
    screen.send("/undo 2" + ENTER)
    screen.wait("now at the start")
    screen.send("/open warns" + ENTER)
    screen.wait("opened warns")
    screen.send("/code 1" + ENTER)
    screen.wait("│ careful")
    screen.wait("FileNotFoundError")
    screen.wait("(the sandbox ha")


def test_a_long_output_is_cut_on_the_screen(screen: Terminal, folder: Path) -> None:
    screen.send("/open chatty" + ENTER)
    screen.wait("opened chatty")
    screen.send("/run" + ENTER)
    text = screen.wait("✓ ran")
    assert "\n499\n" in text
    assert "\n501\n" not in text
    assert "more is not shown here" in text


def test_without_its_model_the_session_can_be_read_run_and_exported(screen: Terminal, folder: Path) -> None:
    screen.send("print it" + ENTER)
    screen.wait("no model at ./missing.gguf")
    screen.send("/undo" + ENTER)
    screen.wait("now at turn 1")
    screen.send("/export py out.py" + ENTER)
    screen.wait("wrote out.py")
    assert "print('hello', flush=True)" in (folder / "out.py").read_text()
    screen.send("/show" + ENTER)
    screen.wait("1› say hello")
    screen.send(CTRL_D)
    assert screen.ended(30) == 0
    assert len(load(folder / "made.jsonl").turns) == 2
