"""Wires rooms together: models by name, the sandbox, the tools that the REPL is handed."""

import os
import re
import shlex
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from mtchat import store
from mtchat.console.captions import short_path
from mtchat.console.view import View
from mtchat.sandbox.sandbox import Sandbox
from mtchat.store import OwnedFiles

if TYPE_CHECKING:
    from mtchat.conversation.interfaces import BackgroundModel

PATIENCE = 3.0  # seconds


def owned_files() -> OwnedFiles:
    """Which files the user attached to which session on this machine."""
    return OwnedFiles(platformdirs.user_state_path("mtchat", appauthor=False) / "attached")


def reopen_command(path: Path, folder: Path | None) -> str:
    """The shell command that opens a session again; `folder` is that of --sessions."""
    if path.parent == (folder or store.folder()):
        chosen = ["--sessions", str(folder)] if folder else []
        return shlex.join([*start_command(), *chosen, path.stem])
    return shlex.join([*start_command(), str(path)])


def start_command() -> list[str]:
    """The command that started this process."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" or not os.access(started, os.X_OK):
        return [Path(sys.executable).name, "-m", "mtchat"]
    found = shutil.which(started.name)
    if found and os.path.realpath(found) == os.path.realpath(started):
        return [started.name]
    return [short_path(started)]


def wait_for(model: "BackgroundModel", view: View) -> None:
    """Wait for a model; off a terminal, a stage that takes long is reported once."""
    begun, reported = time.monotonic(), ""
    with view.waiting(lambda: f"{model.name}: {model.stage()}"):
        while not model.ready(0.2):
            stage = re.sub(r" \d+ %$", "", model.stage())
            if not view.live and stage != reported and time.monotonic() - begun > PATIENCE:
                reported = stage
                view.note(f"{model.name}: {stage}")


class Tier:
    """The isolation level of the sandbox, probed in the background; "…" until then."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.word = "…"
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.probe, name="probing", daemon=True)
            self.thread.start()

    def probe(self) -> None:
        self.word = self.sandbox.choice().probe.tier or "none"
