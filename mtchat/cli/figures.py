"""The files that benchmarks write figures and pictures to: what is wrong is told before all is measured."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from mtchat.errors import MtchatError, UsageError
from mtchat.files import kept

PICTURES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}  # and how each begins
FIGURES = (b'[\n {\n  "run": {', b'[\n {\n  "engine": ')  # how a file of figures begins
LONGEST = max(map(len, FIGURES))


def check(json: Path | None, plot: Path | None) -> None:
    """UsageError where figures or a picture cannot be written to a file, or would overwrite another thing."""
    if plot and plot.suffix.lower() not in PICTURES:
        raise UsageError(f"--plot {plot} has no suffix of a picture; there are {', '.join(PICTURES)}")
    if plot and not importlib.util.find_spec("matplotlib"):
        raise MtchatError("--plot needs matplotlib: pip install matplotlib, or leave it out")
    for path in (json, plot):
        if path and not os.path.isdir(path.absolute().parent):
            raise UsageError(f"no folder {path.absolute().parent} to write {path.name} to")
    if json and not free(json, FIGURES):
        raise UsageError(f"{json} is there already and holds no figures of a benchmark; give another FILE")
    if plot and not free(plot, (PICTURES[plot.suffix.lower()],)):
        raise UsageError(f"{plot} is there already and is no such picture; give another FILE")


def free(path: Path, begins: tuple[bytes, ...]) -> bool:
    """Whether nothing is lost with a file: it is not there, is empty, or begins as what is written again."""
    try:
        kept(os.stat(path).st_mode)
        with open(path, "rb") as file:
            head = file.read(LONGEST)
    except OSError:
        return True  # not there, or such as /dev/stdout; what cannot be written is told in its time
    return not head or head.startswith(begins)


def save(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        raise MtchatError(f"cannot write {path}: {error.strerror}") from None
