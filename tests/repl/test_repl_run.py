"""The REPL with the real sandbox and no model: what the user can do while, or where, none is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.session.turn import Turn
from mtchat.store import Log, load
from tests.support.scripts import needs_sandbox
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, TAB, Terminal, terminal

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.sandbox,
    needs_sandbox,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Log.open(tmp_path / "made.jsonl") as log:
        first = log.session.add(Turn("say hello", "print('hello', flush=True)"))
        log.write(first)
        log.write(first.add(Turn("wait", "while True: pass", parent=first.head)))
    code = "import sys\nprint('careful', file=sys.stderr)\nopen('data.csv')"
    slow = (
        "import time\nfor n in range(400):\n    print('step', n, flush=True)\n    time.sleep(0.05)  # careful"
    )
    asks = "import sys\nprint(sys.argv[1:])\nprint(input('name? '))"
    makes = "open('made.txt', 'w').write(open('mine.txt').read().upper())\nlonging = [1, 2, 3]"
    chatty = "for n in range(3000): print(n)"
    chunks = {"warns": code, "chatty": chatty, "slow": slow, "asks": asks, "makes": makes}
    for name, chunk in chunks.items():
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
    screen.wait("■ run stopped")
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
    screen.wait(lambda text: "(the sandbox has" in " ".join(text.split()))


def test_a_long_output_is_cut_on_the_screen(screen: Terminal, folder: Path) -> None:
    screen.send("/open chatty" + ENTER)
    screen.wait("opened chatty")
    screen.send("/run" + ENTER)
    text = screen.wait("✓ ran")
    assert "\n499\n" in text
    assert "\n501\n" not in text
    assert "output truncated" in text


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


def opened(screen: Terminal, name: str) -> None:
    screen.send(f"/open {name}" + ENTER)
    screen.wait(f"opened {name}")


def test_run_takes_arguments_and_a_file_in_place_of_the_keyboard(screen: Terminal, folder: Path) -> None:
    (folder / "names.txt").write_text("Ada\n")
    opened(screen, "asks")
    screen.send("/run" + ENTER)
    screen.wait("what you type goes to the program; Ctrl-D ends the input")
    screen.wait("name? ")
    screen.send("Eve" + ENTER)
    screen.wait("[]\nname? Eve\n")
    screen.wait("✓ ran")
    screen.send("/run --fast 'two words' < names.txt" + ENTER)
    screen.wait("['--fast', 'two words']\nname? Ada\n✓ ran")


def test_an_attached_file_is_read_and_what_the_program_writes_is_fetched(
    screen: Terminal, folder: Path
) -> None:
    (folder / "mine.txt").write_text("hello")
    opened(screen, "makes")
    screen.send("/run" + ENTER)
    screen.wait("/attach FILE gives the program a copy")
    screen.send("/attach mi")
    screen.wait(lambda text: text.rstrip().count("mine.txt") == 3)
    screen.send(TAB)
    screen.wait("/attach mine.txt")
    screen.send(ENTER)
    screen.wait("mine.txt, 5 bytes: the program opens it as 'mine.txt'")
    screen.send("/run" + ENTER)
    screen.wait("makes.files/made.txt (5 bytes)")
    screen.send("/files made.txt to fetched" + ENTER)
    screen.wait("copied made.txt to fetched/made.txt (5 bytes)")
    assert (folder / "fetched" / "made.txt").read_text() == "HELLO"
    assert not (folder / "makes.files" / "mine.txt").exists()
    assert [file.name for file in load(folder / "makes.jsonl").attached] == ["mine.txt"]
    screen.send("/vars" + ENTER)
    screen.wait("  longing  list  3  [1, 2, 3]")


def test_what_a_turn_prints_is_seen_while_it_runs_and_ctrl_c_stops_the_program_alone(
    screen: Terminal, folder: Path
) -> None:
    opened(screen, "slow")
    screen.send("/code 1" + ENTER)
    screen.wait(lambda text: re.search(r"running \d+ s │ step", text) is not None)
    screen.send(CTRL_C)
    text = screen.wait("■ run stopped")
    assert "│ step 0\n│ step 1\n" in text
    assert [turn.chunk[-9:] for turn in load(folder / "slow.jsonl").path] == ["# careful!"[-9:]]
    screen.send("/undo" + ENTER)
    screen.wait("now at the start")


def test_a_turn_that_takes_too_long_is_told_the_setting(screen: Terminal, folder: Path) -> None:
    opened(screen, "slow")
    screen.send("/set wall 300ms" + ENTER)
    screen.wait("seconds must be a number such as 90, 90s or 2min, not '300ms'")
    screen.send("/set wall 0.3s" + ENTER)
    screen.wait("seconds is 0.3 s")
    screen.send("/code 1" + ENTER)
    screen.wait("stopped after 0.3 s; /set seconds 0.6 raises the limit")
