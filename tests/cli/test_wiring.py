"""How a session is opened again: by the command that started mtchat, in the folder that it was given."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from mtchat.cli.talk import describe_last_session
from mtchat.cli.wiring import reopen_command
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import Log


@pytest.mark.parametrize(
    ("started", "on_path", "command"),
    [
        (".venv/bin/mtchat", False, ".venv/bin/mtchat"),
        ("{here}/.venv/bin/mtchat", False, ".venv/bin/mtchat"),
        ("{here}/.venv/bin/mtchat", True, "mtchat"),
        ("{here}/mtchat/__main__.py", False, f"{Path(sys.executable).name} -m mtchat"),
    ],
)
@pytest.mark.parametrize(
    ("session", "folder", "rest"),
    [
        ("sessions/one.jsonl", None, "one"),
        ("sessions/my plot.jsonl", None, "'my plot'"),
        ("mine/one.jsonl", "mine", "--sessions mine one"),
        ("elsewhere/one.jsonl", None, "elsewhere/one.jsonl"),
        ("elsewhere/one.jsonl", "mine", "elsewhere/one.jsonl"),
    ],
)
def test_the_command_that_goes_on_with_a_session_works_here(
    started: str,
    on_path: bool,
    command: str,
    session: str,
    folder: str | None,
    rest: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sessions").mkdir()
    binary = Path(".venv/bin/mtchat")
    binary.parent.mkdir(parents=True)
    binary.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / binary.parent) if on_path else os.devnull)
    monkeypatch.setattr(sys, "argv", [started.format(here=tmp_path)])
    told = reopen_command(Path(session), Path(folder) if folder else None)
    assert told == f"{command} {rest}"
    assert shlex.split(told)[-1] in (Path(session).stem, session)


def test_a_new_start_names_the_session_that_was_open_last(tmp_path: Path) -> None:
    with Log.open(tmp_path / "one.jsonl") as log:
        log.write(Session("one").extend((Turn("draw a line", "x = 1"), Turn("and a circle", "y = 2"))))
    [said] = describe_last_session(log.path)
    assert said == "today you worked on one: 2 turns, draw a line; /open one continues it"
    assert list(describe_last_session(tmp_path / "gone.jsonl")) == []
    assert list(describe_last_session(None)) == []
