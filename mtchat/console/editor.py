"""Opens $VISUAL or $EDITOR on some text."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtchat.console.terminal import show_typing
from mtchat.errors import MtchatError
from mtchat.files import MOST, content, regular
from mtchat.session.text import name_controls, restore_controls


def edit_text(text: str, suffix: str) -> str:
    """The text as it is when the editor ends. The variable may hold arguments ("code --wait").

    Signs that act on a terminal or cannot be seen stand there by their names, and come back as they were.
    """
    words = editor_command()
    with tempfile.TemporaryDirectory(prefix="mtchat-") as folder, leave_interrupts_to_editor(), show_typing():
        path = Path(folder) / f"turn{suffix}"
        try:
            path.write_text(name_controls(text), encoding="utf-8")
            status = subprocess.call([*words, str(path)])
            if status == 0:
                back = restore_controls(read_back(path).decode("utf-8", errors="replace"))
                return back if "\r\n" in text else back.replace("\r\n", "\n")
        except (OSError, ValueError) as error:
            raise MtchatError(f"cannot edit with {words[0]!r}: {error}; set $EDITOR") from error
        raise MtchatError(f"the editor {words[0]!r} exited with status {status}, so nothing was changed")


def read_back(path: Path) -> bytes:
    """What the editor left; OSError where that is no file any more."""
    opened = regular(path)
    try:
        return content(opened, MOST)
    finally:
        os.close(opened)


@contextmanager
def leave_interrupts_to_editor() -> Iterator[None]:
    """Ctrl-C goes to the editor alone. A handler that does nothing is not inherited, as SIG_IGN would be."""
    handler = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def editor_command() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(os.environ.get(variable, ""))
        except ValueError as error:
            raise MtchatError(f"${variable} cannot be read: {error}") from None
        if words:
            return words
    for name in ("nano", "vim", "vi"):
        if shutil.which(name):
            return [name]
    raise MtchatError("no editor found; set $EDITOR, as in: export EDITOR=nano")
