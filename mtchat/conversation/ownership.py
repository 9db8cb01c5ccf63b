"""One thread at a time: whoever changes a conversation owns it until that is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock, get_ident
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mtchat.errors import UsageError

BUSY = "this conversation is taking a turn; wait for it, or close its stream, first"
CLOSED = "this conversation is closed; mtchat.Conversation with the same store opens it again"


class Ownership:
    """Which thread is changing a conversation; a second one is refused, never made to wait."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = Lock()
        self._thread = 0

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Owns the conversation meanwhile; the owner may claim again. UsageError if another thread does."""
        if self._thread == get_ident():
            yield
            return
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        if self.closed:
            raise UsageError(CLOSED)
        if not self._lock.acquire(blocking=False):
            raise UsageError(BUSY)
        self._thread = get_ident()

    def hand_to(self, thread: int) -> None:
        """Makes another thread the owner, which need not release it."""
        self._thread = thread

    def release(self) -> None:
        self._thread = 0
        self._lock.release()

    def close(self) -> None:
        """Refuses every change from now on, once the present one has ended."""
        self.closed = True
        if self._thread != get_ident():
            with self._lock:
                pass


class Owned(Protocol):
    """Something that one thread at a time may change."""

    @property
    def ownership(self) -> Ownership: ...


P = ParamSpec("P")
T = TypeVar("T")
Conversing = TypeVar("Conversing", bound=Owned)


def exclusive(
    method: Callable[Concatenate[Conversing, P], T],
) -> Callable[Concatenate[Conversing, P], T]:
    """Lets one thread at a time into a method, and none once the conversation is closed."""

    @wraps(method)
    def claimed(self: Conversing, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.ownership.claim():
            return method(self, *args, **kwargs)

    return claimed
