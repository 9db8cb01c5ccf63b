"""Golden screens: files that hold what is typed into the REPL, and the screen that it leads to."""

import time
from dataclasses import dataclass
from pathlib import Path

from mtchat.version import __version__
from tests import FAKE_REPL
from tests.support.terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, TAB, UP, Terminal, terminal

KEYS = {
    "<Enter>": ENTER,
    "<Alt-Enter>": ALT_ENTER,
    "<Tab>": TAB,
    "<Up>": UP,
    "<Ctrl-C>": CTRL_C,
    "<Ctrl-D>": CTRL_D,
}
RULE = "-" * 20
QUIET = 0.4  # seconds without a change after which a screen is taken as finished


@dataclass(frozen=True)
class GoldenScreen:
    """A file: its size in cells, the environment, the steps (what to type, what to wait for), the screen."""

    path: Path
    columns: int
    rows: int
    env: dict[str, str]
    steps: tuple[tuple[str, str], ...]
    head: str
    screen: str

    @staticmethod
    def read(path: Path) -> "GoldenScreen":
        head, _, screen = path.read_text(encoding="utf-8").partition(f"{RULE}\n")
        fields: list[tuple[str, str]] = []
        for line in head.splitlines():
            name, separator, value = line.partition(": ")
            if separator and not line.startswith("#"):
                fields.append((name, value))
        settings = dict(fields)
        typed = [value for name, value in fields if name == "type"]
        awaited = [value for name, value in fields if name == "wait"]
        assert len(typed) == len(awaited), f"{path.name}: every type: line needs its wait: line"
        columns, _, rows = settings.get("size", "80x30").partition("x")
        env = dict([settings["env"].split("=", 1)]) if "env" in settings else {}
        steps = tuple(zip(typed, awaited, strict=True))
        return GoldenScreen(path, int(columns), int(rows), env, steps, head, screen)

    def play(self, folder: Path) -> tuple[str, bytes]:
        """The screen after the keys, with what scrolled off it, and every byte that was sent to it."""
        with terminal([str(FAKE_REPL), str(folder)], folder, self.env, self.columns, self.rows) as shown:
            shown.wait("1› ")
            for keys, sign in self.steps:
                settle(shown)
                for name, code in KEYS.items():
                    keys = keys.replace(name, code)
                before = shown.text.count(sign)
                shown.send(keys)
                shown.wait(lambda text, sign=sign, before=before: text.count(sign) > before)
            settle(shown)
            lines = [line.rstrip() for line in shown.text.replace(__version__, "X.Y.Z").split("\n")]
            return "\n".join(lines).rstrip("\n") + "\n", shown.raw

    def accept(self, screen: str) -> None:
        """Writes a screen into the file."""
        self.path.write_text(f"{self.head}{RULE}\n{screen}", encoding="utf-8")


def settle(shown: Terminal) -> None:
    """Reads until the screen has not changed for a while."""
    text, since = shown.text, time.monotonic()
    while time.monotonic() - since < QUIET:
        shown.read()
        if shown.text != text:
            text, since = shown.text, time.monotonic()
