"""What benchmarks write: progress lines, Markdown tables, files of figures and plots."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mtchat.console.view import View
from mtchat.errors import MtchatError, UsageError
from mtchat.files import kept

Say = Callable[[str], None]

PICTURES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}  # and how each begins
FIGURES = (b'[\n {\n  "run": {', b'[\n {\n  "engine": ')  # how a file of figures begins
LONGEST = max(map(len, FIGURES))


@contextmanager
def progress(view: View) -> Iterator[Say]:
    """A function that shows the current step: one moving line in a terminal, else a line for each new step.

    The text before ":" names the step; what follows (engine, run number) is shown only in a terminal.
    """
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if view.live:
            view.transient(text)
        elif text.split(":")[0] != said:
            said = text.split(":")[0]
            view.line(said)

    try:
        yield say
    finally:
        view.erase()


def markdown_table(cells: Sequence[Sequence[str]], words: int = 2) -> str:
    """Rows of cells as Markdown, padded to the widest cell; the first `words` columns are text."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rules = ["-" * width if place < words else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    lines = []
    for cell in (cells[0], rules, *cells[1:]):
        padded = [
            text.ljust(width) if place < words else text.rjust(width)
            for place, (text, width) in enumerate(zip(cell, widths, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
    return "\n".join(lines) + "\n"


def check_targets(json: Path | None, plot: Path | None) -> None:
    """UsageError, before anything is measured, if figures or a plot cannot be written or would overwrite
    something else."""
    if plot and plot.suffix.lower() not in PICTURES:
        raise UsageError(f"--plot {plot}: unknown image format; use {', '.join(PICTURES)}")
    if plot and not importlib.util.find_spec("matplotlib"):
        raise MtchatError("--plot needs matplotlib: pip install matplotlib")
    for path in (json, plot):
        if path and not os.path.isdir(path.absolute().parent):
            raise UsageError(f"cannot write {path.name}: no folder {path.absolute().parent}")
    if json and not can_replace(json, FIGURES):
        raise UsageError(f"{json} exists and is not a file of benchmark figures; choose another FILE")
    if plot and not can_replace(plot, (PICTURES[plot.suffix.lower()],)):
        raise UsageError(f"{plot} exists and is not such an image; choose another FILE")


def can_replace(path: Path, begins: tuple[bytes, ...]) -> bool:
    """Whether writing a file loses nothing: it does not exist, is empty, or begins like one of ours."""
    try:
        kept(os.stat(path).st_mode)
        with open(path, "rb") as file:
            head = file.read(LONGEST)
    except OSError:
        return True  # missing, or a device such as /dev/stdout; a write error is reported when it happens
    return not head or head.startswith(begins)


def save(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        raise MtchatError(f"cannot write {path}: {error.strerror}") from None
