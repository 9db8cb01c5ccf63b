"""Keeps what is typed while the model writes off the screen; it waits for the next prompt instead.

Ctrl-C drops it: that is what a terminal does with input when it interrupts.
"""

import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOCAL = 3  # the place of the local modes among a terminal's attributes
ECHOES = termios.ECHO | termios.ICANON | getattr(termios, "ECHOCTL", 0)


@contextmanager
def silent() -> Iterator[None]:
    """Typed keys are not shown meanwhile, and Ctrl-C still interrupts."""
    with local_modes(lambda modes: modes & ~ECHOES):
        yield


@contextmanager
def audible() -> Iterator[None]:
    """As a program such as an editor expects the terminal."""
    with local_modes(lambda modes: modes | ECHOES):
        yield


def forget_typed() -> None:
    """Drops what was typed so far: it answers no question that was not on the screen yet."""
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
