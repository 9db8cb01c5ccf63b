"""A program in a pseudo-terminal, with the screen as a person would see it."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte

ENTER, ALT_ENTER, TAB, UP = "\r", "\x1b\r", "\t", "\x1b[A"
CTRL_C, CTRL_D, CTRL_T, CTRL_Z = "\x03", "\x04", "\x14", "\x1a"
PASTE = "\x1b[200~", "\x1b[201~"
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b\([A-Z0-9]")


class Terminal:
    """Keys in, screen out. `raw` is every byte that the program sent."""

    def __init__(self, child: "pexpect.spawn[bytes]", columns: int, rows: int) -> None:
        self.child = child
        self.screen = pyte.HistoryScreen(columns, rows, history=2000)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""

    def send(self, keys: str) -> None:
        self.child.send(keys)

    def read(self) -> None:
        """Takes in what has arrived, waiting a moment for more; answers cursor position requests."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0.05)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        self.raw += data
        self.stream.feed(data)
        for _ in range(data.count(b"\x1b[6n")):
            self.child.send(f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R")

    @property
    def text(self) -> str:
        """The screen and what has scrolled off it."""
        past = ["".join(row[x].data for x in range(self.screen.columns)) for row in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*past, *self.screen.display])

    def wait(self, sign: str | Callable[[str], bool], seconds: float = 60.0) -> str:
        """The text once it shows a sign; fails with the screen when it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read()
            text = self.text
            if sign(text) if callable(sign) else sign.rstrip() in text:
                return text
        raise AssertionError(f"{sign!r} did not appear; the screen:\n{self.text}")

    def ended(self, seconds: float = 60.0) -> int | None:
        """The exit status of the program, which must end by itself."""
        deadline = time.monotonic() + seconds
        while self.child.isalive() and time.monotonic() < deadline:
            self.read()
        assert not self.child.isalive(), f"still running; the screen:\n{self.text}"
        self.read()
        return self.child.exitstatus


@contextmanager
def terminal(
    words: list[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    columns: int = 100,
    rows: int = 40,
) -> Iterator[Terminal]:
    """Starts Python with these arguments in a folder, on a terminal of a size."""
    # The size is that of the terminal, whatever the tests themselves run in.
    whole = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **(env or {})}
    child = pexpect.spawn(sys.executable, words, cwd=str(folder), env=whole, dimensions=(rows, columns))
    try:
        yield Terminal(child, columns, rows)
    finally:
        child.close(force=True)
