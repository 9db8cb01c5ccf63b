"""The battery as an ordinary user, for whom a sandbox is another one: root's programs become somebody else.

The user has a number only, no name and no files. Folders on the way to Python that are shut to others are
open in a mount namespace of the test's own.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

USER = 64_999
NEEDED = tuple(Path(each).resolve() for each in (sys.base_prefix, sys.prefix, ROOT))
TOOLS = ("unshare", "mount", "setpriv")
ROWS = {
    "bwrap: secrets and files": (
        "tests/sandbox/battery",
        "test_an_attack_is_held and T1 and (00 or 01 or 02 or 03)",
    ),
    "landlock: secrets and files": (
        "tests/sandbox/battery",
        "test_an_attack_is_held and T2 and (00 or 01 or 02 or 03)",
    ),
    "keyboard input and files": ("tests/sandbox/test_stdin.py", "cannot_change"),
    "copies": ("tests/sandbox/test_outbox.py", "sparse or ctrl_c"),
}

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(os.geteuid() != 0, reason="the battery itself runs as an ordinary user"),
]


def shut() -> dict[Path, list[Path]]:
    """The folders that others may not pass, outermost only, and what is needed below each."""
    found: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(NEEDED):
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 0o001:
                found.setdefault(folder, []).append(path)
                break
    return found


def opening(stage: Path) -> str:
    """Shell commands that put an open folder, with only what is needed in it, over each that is shut."""
    words = [f"mount -t tmpfs tmpfs {stage}"]
    for folder, paths in shut().items():
        kept = [(path, stage / str(number)) for number, path in enumerate(paths)]
        words += [f"mkdir {aside} && mount --rbind {shlex.quote(str(path))} {aside}" for path, aside in kept]
        words.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(folder))}")
        for path, aside in kept:
            place = shlex.quote(str(path))
            words.append(f"mkdir -p {place} && mount --rbind {aside} {place}")
    return " && ".join(words)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the user's own, at a place that every user may pass through."""
    place = Path(tempfile.mkdtemp(prefix="user-of-mtchat-", dir="/tmp"))
    os.chown(place, USER, USER)
    yield place
    shutil.rmtree(place)


def as_user(home: Path, command: str) -> "subprocess.CompletedProcess[str]":
    stage = home.with_name(f"{home.name}-stage")
    stage.mkdir()
    try:
        drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups"
        script = f"{opening(stage)} && cd {shlex.quote(str(ROOT))} && exec {drop} {command}"
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "TMPDIR": str(home),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=240,
        )
    finally:
        stage.rmdir()


@pytest.mark.parametrize("what", ROWS)
def test_what_holds_roots_programs_holds_an_ordinary_users(what: str, home: Path) -> None:
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"another user cannot be become without {missing[0]}")
    reaches = as_user(home, f"{sys.executable} -c 'import mtchat, pytest'")
    if reaches.returncode != 0:
        pytest.skip(f"an ordinary user cannot run Python here: {reaches.stderr.strip()[-200:]}")
    place, rows = ROWS[what]
    words = f"-q -p no:cacheprovider --basetemp {home}/t {place} -k {shlex.quote(rows)}"
    done = as_user(home, f"{sys.executable} -m pytest {words}")
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0, done.stdout[-4000:]
    if "passed" not in last:
        pytest.skip(f"nothing runs for an ordinary user here: {last}")
