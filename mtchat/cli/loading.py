"""A model that loads in the background while the prompt is already usable."""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from mtchat.core.prompt import ModelCard, Piece, Prompt
from mtchat.core.settings import Sampling
from mtchat.errors import ModelError, MtchatError

Report = Callable[[str], None]


class Engine(Protocol):
    """A loaded model, as the engine room gives it."""

    @property
    def card(self) -> ModelCard: ...

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]: ...

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]: ...

    def text(self, prompt: Prompt) -> str: ...

    def count(self, text: str) -> int: ...

    def close(self) -> None: ...


class Stopped(BaseException):
    """Loading was cancelled."""


class Loading:
    """An engine on its way. `begin` starts a thread; whoever needs the model waits in `ready`.

    A model that takes another's place lets that one stop first, so that only one loads at a time.
    """

    def __init__(self, name: str, load: Callable[[Report], Engine], after: "Loading | None" = None) -> None:
        self.name = name
        self.load = load
        self.after = after
        self.cancelled = False
        self.at = "loading"
        self.engine: Engine | None = None
        self.failure: BaseException | None = None
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, name="loading", daemon=True)
            self.thread.start()

    def work(self) -> None:
        try:
            if self.after is not None:
                self.after.stop()
                self.after = None
            self.engine = self.load(self.report)
        except BaseException as error:  # carried to whoever waits for the model
            self.failure = error
        finally:
            self.done.set()

    def report(self, stage: str) -> None:
        if self.cancelled:
            raise Stopped
        self.at = stage

    def stop(self, seconds: float | None = None) -> bool:
        """Gives the model up, waiting so long at most; whether its thread has ended."""
        self.cancelled = True
        if self.thread is not None:
            self.thread.join(seconds)
        if self.engine is not None:
            self.engine.close()
        self.engine = None
        return self.thread is None or not self.thread.is_alive()

    def stage(self) -> str:
        if not self.done.is_set():
            return self.at
        return "not loaded" if self.failure else ""

    def ready(self, seconds: float) -> bool:
        self.begin()
        if not self.done.wait(seconds):
            return False
        if isinstance(self.failure, (MtchatError, Stopped)):
            raise ModelError(str(self.failure) or f"{self.name} was given up") from self.failure
        if self.failure is not None:
            raise self.failure
        return True

    def card(self) -> ModelCard:
        return self.loaded().card

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        return self.loaded().complete(prompt, sampling)

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        return self.loaded().candidates(prompt, sampling, count)

    def text(self, prompt: Prompt) -> str:
        return self.loaded().text(prompt)

    def count(self, text: str) -> int:
        return self.loaded().count(text)

    def loaded(self) -> Engine:
        while not self.ready(1.0):
            pass
        assert self.engine is not None
        return self.engine


class Shelf:
    """The models of one process: one at a time, the latest asked for."""

    def __init__(self, load: Callable[[str, Report], Engine]) -> None:
        self.load = load
        self.latest: Loading | None = None

    def get(self, name: str) -> Loading:
        if self.latest is not None:
            self.latest.cancelled = True
        self.latest = Loading(name, lambda report: self.load(name, report), after=self.latest)
        return self.latest

    def close(self, seconds: float = 3.0) -> bool:
        """Gives the latest model up; whether no thread is left at work after so long."""
        return self.latest is None or self.latest.stop(seconds)
