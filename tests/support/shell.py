"""The command line run as a shell runs it."""

import subprocess
import sys
from pathlib import Path


def mtchat(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs mtchat in a folder, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "mtchat", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )
