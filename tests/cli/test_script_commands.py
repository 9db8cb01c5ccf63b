"""Slash commands in scripts: each one works without a terminal, or says why it cannot."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from mtchat.cli.scripted import Script, run_script
from mtchat.console import slash
from mtchat.console.view import View
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.session.settings import Settings
from mtchat.store import Log, load
from tests.support.fake_repl import Fake, FakeSandbox

# What to type for a command after the turns "define x" and "print x"; all others are typed alone.
ARGUMENTS = {
    "ask": "what is x?",
    "add": "y = 3",
    "attach": "data.csv",
    "branch": "mine",
    "check": "x == 1",
    "complete": "1",
    "correct": "1 make x two",
    "drop": "2",
    "edit": "1 make x two",
    "explain": "1",
    "export": "py out.py",
    "fold": "1",
    "forget": "1",
    "goto": "1",
    "help": "undo",
    "next": "define x",
    "open": "other",
    "pick": "1",
    "retry": "2",
    "save": "renamed",
    "set": "temperature 0.5",
    "show": "2",
    "tutor": "add 2 and 3",
    "unfold": "1",
}
# Those that cannot be done here, with what they say.
REFUSED = {
    "code": "needs a terminal",
    "complete": "nothing left to complete",
    "fix": "nothing to fix",
    "redo": "nothing to redo",
    "pick": "only one",
}


def played(folder: Path, *lines: str, model: Fake | None = None) -> tuple[int, str]:
    """The exit code of a script and what it said on stderr; the session is saved as `one`."""
    err = io.StringIO()
    with Log.open(folder / "one.jsonl") as log:
        script = Script(lines, False, False, "", Settings(policy="plain"))
        view = View(err, live=False, color=False)
        code = run_script(script, log, model or Fake(), FakeSandbox(), view)
    return code, err.getvalue()


@pytest.mark.parametrize("name", slash.names())
def test_every_command_works_in_a_script_or_says_why_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("1,2\n")
    with Log.open(tmp_path / "other.jsonl") as other:
        other.write(load_one(tmp_path), "turn")
    line = f"/{name} {ARGUMENTS.get(name, '')}".strip()
    if name in REFUSED:
        with pytest.raises(MtchatError, match=REFUSED[name]):
            played(tmp_path, "define x", "print x", line)
        return
    code, said = played(tmp_path, "define x", "print x", line)
    # The fake run evaluates no check.
    assert code == (ExitCode.FAILED if name == "check" else ExitCode.DONE), said
    assert f"3› {line}\n" in said
    assert said.partition(f"3› {line}\n")[2].count("\n") > 1 or name in ("quit", "next", "check"), said
    assert capsys.readouterr().out


def load_one(folder: Path) -> object:
    played(folder, "define x")
    found = load(folder / "one.jsonl")
    (folder / "one.jsonl").unlink()
    return found


def test_a_script_undoes_and_draws_the_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = played(tmp_path, "define x", "print x", "/undo", "/tree")
    assert code == ExitCode.DONE
    assert "undone: print x\nnow at turn 1: define x\n" in said
    assert "✓ 1   define x  ← now\n" in said
    assert capsys.readouterr().out == "x = 1\n"
    assert [turn.chunk for turn in load(tmp_path / "one.jsonl").path] == ["x = 1"]


def test_quit_ends_a_script_and_what_was_made_is_saved(tmp_path: Path) -> None:
    code, said = played(tmp_path, "define x", "/quit", "print x")
    assert code == ExitCode.DONE
    assert "print x" not in said
    assert "saved as" in said
    assert len(load(tmp_path / "one.jsonl").path) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/nothing", "no command /nothing; /help lists them"),
        ("/und", r"no command /und \(did you mean /undo\?\)"),
        ("/edit 1", "needs a terminal"),
        ("/undo 9", "cannot undo 9"),
        ("/check", None),
    ],
)
def test_what_cannot_be_done_in_a_script_says_so_and_the_turns_are_saved(
    line: str, message: str | None, tmp_path: Path
) -> None:
    if message is None:
        assert "no checks yet" in played(tmp_path, "define x", line)[1]
        return
    with pytest.raises((UsageError, MtchatError), match=message):
        played(tmp_path, "define x", line)
    assert [turn.chunk for turn in load(tmp_path / "one.jsonl").path] == ["x = 1"]


def test_settings_hold_for_the_rest_of_the_script(tmp_path: Path) -> None:
    _, said = played(tmp_path, "/set run off", "define x", "/set")
    assert "run is off\n" in said
    assert load(tmp_path / "one.jsonl").outcome is None


@pytest.mark.slow
def test_commands_on_a_recorded_session_by_the_command_line_itself(tmp_path: Path) -> None:
    played(tmp_path, "define x", "print x")
    words = [sys.executable, "-m", "mtchat", "one", "--sessions", str(tmp_path)]
    done = subprocess.run([*words, "-p", "/undo"], input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "undone: print x\n" in done.stderr
    assert done.stdout == "x = 1\n"
    done = subprocess.run(words, input="/redo\n/tree\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "✓ 2   print x  ← now\n" in done.stderr
    assert done.stdout == "x = 1\n\nprint(x)\n"
