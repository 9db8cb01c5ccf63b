"""Opens $VISUAL or $EDITOR on some text; the one place of the REPL that starts a process."""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from mtchat.errors import MtchatError


def edited(text: str, suffix: str) -> str:
    """The text as it is when the editor ends. The variable may hold arguments ("code --wait")."""
    words = command()
    with tempfile.TemporaryDirectory(prefix="mtchat-") as folder:
        path = Path(folder) / f"turn{suffix}"
        path.write_text(text, encoding="utf-8")
        try:
            status = subprocess.call([*words, str(path)])
        except OSError as error:
            raise MtchatError(
                f"cannot start the editor {words[0]!r}: {error.strerror}; set $EDITOR"
            ) from error
        if status != 0:
            raise MtchatError(f"the editor {words[0]!r} ended with {status}, so nothing is changed")
        return path.read_text(encoding="utf-8", errors="replace")


def command() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        words = shlex.split(os.environ.get(variable, ""))
        if words:
            return words
    for name in ("nano", "vim", "vi"):
        if shutil.which(name):
            return [name]
    raise MtchatError("no editor found; set $EDITOR, as in: export EDITOR=nano")
