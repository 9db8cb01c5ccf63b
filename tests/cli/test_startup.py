"""What commands import: the prompt and colours take a quarter of a second, so only what shows them pays."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import SESSIONS

ASK = """
import sys
from mtchat.cli import main
code = main(sys.argv[1:])
print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules} & {"prompt_toolkit", "pygments"}))
"""


def loaded_by(folder: Path, *words: str) -> str:
    """The packages among prompt_toolkit and pygments that a command imports when its output is a pipe."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *words], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert "loaded:" in done.stdout, done.stderr
    return done.stdout.rpartition("loaded:")[2].strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["sessions", "--sessions", "."],
        ["models"],
        ["doctor"],
        ["run", "--unsafe-no-sandbox", "hello.py"],
        ["replay", "--sessions", ".", "primes"],
        ["export", "--sessions", ".", "primes"],
        ["-p", "say hello", "--model", "./nowhere.gguf", "--unsafe-no-sandbox"],
        ["bench", "report", "nowhere.jsonl"],
    ],
    ids=lambda words: words[0],
)
def test_a_command_without_a_prompt_loads_neither_the_prompt_nor_colours(tmp_path: Path, words: list[str]):
    (tmp_path / "hello.py").write_text("print('hello')\n")
    shutil.copy(next(SESSIONS.glob("*.jsonl")), tmp_path / "primes.jsonl")
    assert loaded_by(tmp_path, *words) == ""


@pytest.mark.slow
def test_the_watch_sees_the_prompt(tmp_path: Path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            ASK.replace("from mtchat.cli", "import mtchat.repl.app\nfrom mtchat.cli"),
            "models",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "prompt_toolkit" in done.stdout.rpartition("loaded:")[2]
