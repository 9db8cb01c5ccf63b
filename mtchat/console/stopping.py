"""Hears of Ctrl-C wherever it comes, also where what is stopped ends as if nothing were the matter."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def hearing(tell: Callable[[], None]) -> Iterator[None]:
    """Tells of each Ctrl-C before it interrupts as it does without; only the main thread can hear it."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        tell()
        before(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
