"""The REPL of tests on a pseudo-terminal: started, spoken to, and the session that it saved."""

from collections.abc import Callable
from pathlib import Path

from mtchat.store import load
from tests import FAKE_REPL
from tests.support.terminal import (
    ENTER,
    Terminal,
    terminal,
)

REPL = FAKE_REPL


def started(folder: Path, *words: str, env: dict[str, str] | None = None):
    return terminal([str(REPL), str(folder), *words], folder, env)


def say(screen: Terminal, line: str, sign: str | Callable[[str], bool]) -> str:
    screen.send(line + ENTER)
    return screen.wait(sign)


def session(folder: Path, name: str = "2026-01-01-1"):
    return load(folder / f"{name}.jsonl")
