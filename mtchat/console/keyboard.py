"""Passes what is typed in a terminal on to a program, through a pipe: the terminal itself stays with us."""

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mtchat.session import world
from mtchat.session.outcome import Outcome
from mtchat.session.source import reads_keyboard

PIECE_BYTES = 1 << 16
MOST_KEPT = 1 << 20  # bytes that are kept to be given again


@dataclass
class Keyboard:
    """The end of a pipe that a program reads from, by its `path`, and what was `typed` into it so far."""

    path: Path
    typed: bytearray = field(default_factory=bytearray)


@contextmanager
def passed_on(source: int) -> Iterator[Keyboard]:
    """What comes from a descriptor, line by line as a terminal gives it, until the program has ended."""
    end, into = os.pipe()
    stop, stopping = os.pipe()
    board = Keyboard(Path(f"/dev/fd/{end}"))
    thread = threading.Thread(target=feed, args=(source, into, stop, board), daemon=True, name="typing")
    thread.start()
    try:
        yield board
    finally:
        os.close(end)
        os.close(stopping)
        thread.join()
        os.close(stop)


def feed(source: int, into: int, stop: int, board: Keyboard) -> None:
    """Copies until Ctrl-D, or the program ended."""
    try:
        while stop not in select.select([source, stop], [], [])[0]:
            piece = os.read(source, PIECE_BYTES)
            if not piece:
                return
            board.typed += piece[: MOST_KEPT - len(board.typed)]
            while piece:
                piece = piece[os.write(into, piece) :]
    except OSError:
        return  # nobody reads any more, or the terminal is gone
    finally:
        with suppress(OSError):
            os.close(into)


def terminal() -> int | None:
    """The descriptor of the terminal that we are typed at; None where standard input is none."""
    try:
        return sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    except (ValueError, OSError):
        return None


def reads(source: str, outcome: Outcome | None) -> bool:
    """Whether a program reads from the keyboard, as far as its code or its last run shows it."""
    return (outcome is not None and outcome.world == world.INPUT) or reads_keyboard(source)
