"""`make run` on a terminal: Ctrl-C reaches the program and ends neither it nor what started it."""

import shutil
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.terminal import CTRL_C, ENTER, terminal

STAND_IN = """#!{python}
import time
print("ready", flush=True)
for number in range(2):
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted", number, flush=True)
print("said", input(), flush=True)
"""


@pytest.mark.terminal
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_ctrl_c_under_make_run_stops_a_reply_and_not_the_program(tmp_path: Path) -> None:
    program = tmp_path / "mtchat"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    starts = f"import os; os.execvp('make', ['make', '-o', 'install', 'run', 'BIN={tmp_path}'])"
    with terminal(["-c", starts], ROOT) as screen:
        screen.wait("ready")
        screen.send(CTRL_C)
        screen.wait("interrupted 0")
        screen.send(CTRL_C)
        screen.wait("interrupted 1")
        screen.send("hello" + ENTER)
        screen.wait("said hello")
        screen.ended()
