"""A plain interpreter with nothing to do: what the sandbox's start is compared with."""

import subprocess
import sys


def bare() -> None:
    """Start `python -I -c pass` and wait for its end."""
    subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
