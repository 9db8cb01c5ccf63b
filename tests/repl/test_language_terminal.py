"""Another language in the REPL: chosen before the first turn, highlighted, not run, and exported."""

from pathlib import Path

import pytest

from mtchat.store import load
from tests.support.repl import say, started
from tests.support.terminal import ENTER

pytestmark = pytest.mark.terminal


def test_a_session_in_another_language_is_written_and_never_run(tmp_path: Path) -> None:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        text = say(screen, "/set language js", "/export code writes")
        assert "language is javascript" in text
        assert "only Python can be run, and this session is in JavaScript" in text
        text = say(screen, "define f", "2› ")
        assert "function f() {" in text
        assert "✓" not in text
        assert text.count("only Python can be run") == 1
        assert b"\x1b[34mfunction\x1b[39" in screen.raw  # a keyword in JavaScript alone
        screen.wait("fake │ JavaScript │ turn 2")
        screen.wait("not run")
        say(screen, "/run", "/run needs a program in Python")
        for command in ("check f() == 1", "vars", "fix", "explain"):
            say(screen, f"/{command}", f"/{command.split()[0]} needs a program in Python")
        say(screen, "/retry 3", "candidates are compared by running them")
        say(screen, "/set language go", "this session is written in JavaScript, and that")
        say(screen, "/context more", "```javascript")
        say(screen, "/export py", "file contains Python, but this session is written")
        say(screen, "/export code", "wrote 2026-01-01-1.js")
        text = say(screen, "/edit 1 define f", "the instruction is unchanged")
        assert "Traceback" not in text
        screen.send("/quit" + ENTER)
        assert screen.ended() == 0
    assert (tmp_path / "2026-01-01-1.js").read_text() == "function f() {\n  return 1;\n}\n"
    assert load(tmp_path / "2026-01-01-1.jsonl").language.name == "javascript"

    with started(tmp_path, "2026-01-01-1") as screen:
        text = screen.wait("2› ")
        assert "only Python can be run, and this session is in JavaScript" in text
        text = say(screen, "/set language", "javascript")
        text = say(screen, "/edit 1 talk", "/goto before-edit-1")
        assert "Traceback" not in text
        screen.send("/quit" + ENTER)
        assert screen.ended() == 0
