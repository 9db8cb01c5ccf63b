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

    def text(self, prompt: Prompt) -> str: ...

    def count(self, text: str) -> int: ...


class Loading:
    """An engine on its way. `begin` starts a thread; whoever needs the model waits in `ready`."""

    def __init__(self, name: str, load: Callable[[Report], Engine]) -> None:
        self.name = name
        self.load = load
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
            self.engine = self.load(self.report)
        except BaseException as error:  # carried to whoever waits for the model
            self.failure = error
        finally:
            self.done.set()

    def report(self, stage: str) -> None:
        self.at = stage

    def stage(self) -> str:
        if not self.done.is_set():
            return self.at
        return "not loaded" if self.failure else ""

    def ready(self, seconds: float) -> bool:
        self.begin()
        if not self.done.wait(seconds):
            return False
        if isinstance(self.failure, MtchatError):
            raise ModelError(f"{self.failure}\nGo on with another by /model NAME") from self.failure
        if self.failure is not None:
            raise self.failure
        return True

    def card(self) -> ModelCard:
        return self.loaded().card

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        return self.loaded().complete(prompt, sampling)

    def text(self, prompt: Prompt) -> str:
        return self.loaded().text(prompt)

    def count(self, text: str) -> int:
        return self.loaded().count(text)

    def loaded(self) -> Engine:
        while not self.ready(1.0):
            pass
        assert self.engine is not None
        return self.engine

    def busy(self) -> bool:
        """Whether the thread is still at work: the process must then end without waiting for it."""
        return self.thread is not None and not self.done.is_set()
