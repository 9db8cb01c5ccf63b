"""The terminal while the model or a program works: what is typed, whether it shows, and Ctrl-C."""

import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mtchat.session.outcome import Outcome, Reason
from mtchat.session.source import reads_keyboard

# the keys of the prompt, for /help and the manual
KEYS = (
    ("Enter", "sends the instruction"),
    ("Alt-Enter", "starts a new line; a pasted text stays one instruction"),
    ("Ctrl-X Ctrl-E", "edits the instruction in $EDITOR"),
    ("Ctrl-T", "on an empty line: makes the last step a change, or a change a step"),
    ("Up, Down, Ctrl-R", "earlier instructions; → accepts the grey suggestion"),
    ("Ctrl-C", "stops the model or the run; what is written so far is kept"),
    ("Ctrl-Z", "suspends mtchat; fg in the shell resumes it"),
    ("Ctrl-D", "quits; everything is saved"),
)
LOCAL = 3  # the index of the local modes among a terminal's attributes
ECHOES = termios.ECHO | termios.ICANON | getattr(termios, "ECHOCTL", 0)
PIECE_BYTES = 1 << 16
MOST_KEPT = 1 << 20  # bytes of typed input that are kept for later runs


@contextmanager
def hide_typing() -> Iterator[None]:
    """Typed keys are not echoed; they wait for the next prompt. Ctrl-C still interrupts, and drops them."""
    with local_modes(lambda modes: modes & ~ECHOES):
        yield


@contextmanager
def show_typing() -> Iterator[None]:
    """Typed keys are echoed, as a program such as an editor expects."""
    with local_modes(lambda modes: modes | ECHOES):
        yield


def discard_typed() -> None:
    """Drop what was typed so far: it cannot answer a question that was not on the screen yet."""
    try:
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    except (termios.error, ValueError, OSError, AttributeError):
        return


@contextmanager
def local_modes(change: Callable[[int], int]) -> Iterator[None]:
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (termios.error, ValueError, OSError, AttributeError):
        yield
        return
    after = [*before]
    after[LOCAL] = change(after[LOCAL])
    termios.tcsetattr(descriptor, termios.TCSADRAIN, after)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def on_interrupt(on_stop: Callable[[], None]) -> Iterator[None]:
    """Calls `on_stop` at each Ctrl-C, before KeyboardInterrupt is raised as usual; in the main thread only.

    Code that is interrupted may swallow the exception; `on_stop` is called all the same.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        on_stop()
        before(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Keyboard:
    """A pipe that a program reads its input from: the `path` to open, and what was `typed` so far."""

    path: Path
    typed: bytearray = field(default_factory=bytearray)


@contextmanager
def forward_keyboard(source: int) -> Iterator[Keyboard]:
    """Copies what is typed at a descriptor into a pipe until the block ends; the terminal stays with us."""
    end, into = os.pipe()
    stop, stopping = os.pipe()
    keyboard = Keyboard(Path(f"/dev/fd/{end}"))
    thread = threading.Thread(
        target=copy_typed, args=(source, into, stop, keyboard), daemon=True, name="typing"
    )
    thread.start()
    try:
        yield keyboard
    finally:
        os.close(end)
        os.close(stopping)
        thread.join()
        os.close(stop)


def copy_typed(source: int, into: int, stop: int, keyboard: Keyboard) -> None:
    """Copies until Ctrl-D, or until `stop` is closed."""
    try:
        while stop not in select.select([source, stop], [], [])[0]:
            piece = os.read(source, PIECE_BYTES)
            if not piece:
                return
            keyboard.typed += piece[: MOST_KEPT - len(keyboard.typed)]
            while piece:
                piece = piece[os.write(into, piece) :]
    except OSError:
        return  # the reader or the terminal is gone
    finally:
        with suppress(OSError):
            os.close(into)


def terminal_descriptor() -> int | None:
    """The descriptor of the terminal on standard input; None if it is not a terminal."""
    try:
        return sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    except (ValueError, OSError):
        return None


def asks_for_input(source: str, outcome: Outcome | None) -> bool:
    """Whether a program reads from the keyboard, judging by its code and its last run."""
    return (outcome is not None and outcome.missing == Reason.INPUT) or reads_keyboard(source)
