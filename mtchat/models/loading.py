"""A model that loads in the background while the prompt is already usable.

Another library can raise anything while a model is read or writes. Where it does, its user gets one line and
goes on; MTCHAT_DEBUG in the environment shows the traceback as well.
"""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from mtchat.errors import ModelError, MtchatError, reason
from mtchat.session.prompt import ModelCard, Piece, Prompt, Signals
from mtchat.session.settings import Sampling

Report = Callable[[str], None]
T = TypeVar("T")


class Model(Protocol):
    """A loaded model: anything with these methods can hold a conversation."""

    @property
    def card(self) -> ModelCard:
        """What it is: its name, whether it has a chat template, how many tokens it can see."""

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """One completion, in pieces as they are decoded; closing the iterator ends it.

        The last piece has `usage.finish` "stop" or "length". ModelError if the model cannot answer.
        """

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """`count` completions, generated together; each piece comes with the number of its completion from 0.

        Number k samples with a seed of its own, so that a batch gives what single completions would.
        """

    def text(self, prompt: Prompt) -> str:
        """The exact text that the model sees for a prompt."""

    def count(self, text: str) -> int:
        """The tokens in a text."""

    def close(self) -> None:
        """Frees its memory; it cannot be asked any more."""


@runtime_checkable
class Scorer(Protocol):
    """A model that tells how likely it finds given texts; not every model can."""

    def score(
        self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()
    ) -> tuple[float, ...] | None:
        """The log-probability of each text after a prompt, in nats; None if the model gives none.

        `leads` has a text for each that comes between and is not scored.
        """


@runtime_checkable
class Classifier(Protocol):
    """A model that can also say what the last message of a prompt is."""

    def classify(self, prompt: Prompt) -> Signals | None: ...


class Stopped(BaseException):
    """Loading was cancelled."""


class LoadingModel:
    """An engine on its way. `begin` starts a thread; whoever needs the model waits in `ready`.

    A model that takes another's place lets that one stop loading first, so that only one loads at a time. One
    that can be asked already is kept until this one can be; where memory is short for both (`fits` says so,
    or loading does), it is given up first.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[Report], Model],
        previous: "LoadingModel | None" = None,
        fits: Callable[[Report], bool] = lambda report: True,
    ) -> None:
        self.name = name
        self.load = load
        self.previous = previous
        self.fits = fits
        self.dropped_model = ""
        self.cancelled = False
        self.current_stage = "loading"
        self.engine: Model | None = None
        self.failure: BaseException | None = None
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.load_engine, name="loading", daemon=True)
            self.thread.start()

    def load_engine(self) -> None:
        try:
            if self.previous is not None:
                self.previous = self.previous.cancel_and_wait()
            if self.previous is not None and not self.fits(self.report):
                self.make_room()
            try:
                self.engine = self.load(self.report)
            except Exception as error:
                if self.previous is None or not is_out_of_memory(error):
                    raise
                self.make_room()
                self.engine = self.load(self.report)
            if self.previous is not None:
                self.previous.stop()
                self.previous = None
        except BaseException as error:  # carried to whoever waits for the model
            self.failure = error
        finally:
            self.done.set()

    def cancel_and_wait(self) -> "LoadingModel | None":
        """The model that can be asked once this one loads no more: this one, or the one before it."""
        self.cancelled = True
        if self.thread is not None:
            self.thread.join()
        return self if self.engine is not None else self.previous

    def make_room(self) -> None:
        if self.previous is not None:
            self.dropped_model = self.previous.name
            self.previous.stop()
            self.previous = None
            self.report(f"{self.dropped_model} unloaded, because memory does not suffice for both; loading")

    @property
    def earlier(self) -> "LoadingModel | None":
        """The model that can be asked in the place of this one, which could not be loaded."""
        failed = self.done.is_set() and self.engine is None
        previous = self.previous if failed else None
        return previous if previous is not None and previous.engine is not None else None

    def report(self, stage: str) -> None:
        if self.cancelled:
            raise Stopped
        self.current_stage = stage

    def stop(self, seconds: float | None = None) -> bool:
        """Gives the model up, waiting so long at most; whether its thread has ended."""
        self.cancelled = True
        if self.thread is not None:
            self.thread.join(seconds)
        if self.engine is not None:
            self.engine.close()
        self.engine = None
        if self.previous is not None and self.done.is_set():
            self.previous.stop(seconds)
        return self.thread is None or not self.thread.is_alive()

    def stage(self) -> str:
        if not self.done.is_set():
            return self.current_stage
        return "not loaded" if self.engine is None else ""

    def ready(self, seconds: float) -> bool:
        self.begin()
        if not self.done.wait(seconds):
            return False
        failure = self.failure
        if isinstance(failure, (MtchatError, Stopped)):
            why = str(failure) or f"loading of {self.name} was cancelled"
            raise ModelError(why + self.lost_model_note) from failure
        if isinstance(failure, Exception):
            raise ModelError(f"cannot load {self.name}: {reason(failure)}{self.lost_model_note}") from failure
        if failure is not None:
            raise failure
        if self.engine is None:
            raise ModelError(f"{self.name} was unloaded")
        return True

    @property
    def lost_model_note(self) -> str:
        """What to add where an earlier model was given up for nothing."""
        name = self.dropped_model
        return f"; {name} was unloaded to make room; /model {name} loads it again" if name else ""

    def card(self) -> ModelCard:
        return self.loaded().card

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        with self.explain_errors():
            return self.explain_stream_errors(self.loaded().complete(prompt, sampling), Piece)

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        with self.explain_errors():
            return self.explain_stream_errors(self.loaded().candidates(prompt, sampling, count), tuple)

    def score(
        self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()
    ) -> tuple[float, ...] | None:
        with self.explain_errors():
            return score_with(self.loaded(), prompt, texts, leads)

    def classify(self, prompt: Prompt) -> Signals | None:
        """What the last message of a prompt is; None if the model cannot tell."""
        with self.explain_errors():
            return classify_with(self.loaded(), prompt)

    def text(self, prompt: Prompt) -> str:
        with self.explain_errors():
            return self.loaded().text(prompt)

    def count(self, text: str) -> int:
        with self.explain_errors():
            return self.loaded().count(text)

    def loaded(self) -> Model:
        while not self.ready(1.0):
            pass
        assert self.engine is not None
        return self.engine

    def explain_stream_errors(self, stream: Iterator[T], kind: type) -> Generator[T]:
        """What a model writes; a model of another package may yield something else than its contract says."""
        with self.explain_errors():
            try:
                for each in stream:
                    if not isinstance(each, kind):
                        raise ModelError(
                            f"{self.name} gave {type(each).__name__} in place of {kind.__name__}; "
                            "update or uninstall the package that offers this model"
                        )
                    yield each
            finally:
                if isinstance(stream, Generator):
                    stream.close()

    @contextlib.contextmanager
    def explain_errors(self) -> Iterator[None]:
        """What the model's library raises becomes a line that its user can act on."""
        try:
            yield
        except MtchatError:
            raise
        except Exception as error:
            raise ModelError(
                f"{self.name} failed during generation: {reason(error)}; try another model, "
                "or another precision (--precision)"
            ) from error


def score_with(
    model: object, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()
) -> tuple[float, ...] | None:
    """The scores of texts by a model that may be a `Scorer`; None if it is none."""
    return model.score(prompt, texts, leads) if isinstance(model, Scorer) else None


def classify_with(model: object, prompt: Prompt) -> Signals | None:
    """What a model that may be a `Classifier` makes of a prompt; None if it is none."""
    return model.classify(prompt) if isinstance(model, Classifier) else None


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a failure is that memory was short, the machine's or a GPU's."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        error = error.__cause__
    return False


class ModelLoader:
    """The models of one process: the latest asked for, and until it can be asked the one before it.

    `fits` says whether a model is likely to find room beside another.
    """

    def __init__(
        self,
        load: Callable[[str, Report], Model],
        fits: Callable[[str, Report], bool] = lambda name, report: True,
    ) -> None:
        self.load = load
        self.fits = fits
        self.latest: LoadingModel | None = None

    def get(self, name: str) -> LoadingModel:
        if self.latest is not None:
            self.latest.cancelled = True
        self.latest = LoadingModel(
            name,
            lambda report: self.load(name, report),
            previous=self.latest,
            fits=lambda report: self.fits(name, report),
        )
        return self.latest

    def earlier(self) -> LoadingModel | None:
        """The model that can be asked in the place of the latest, where that could not be loaded."""
        return self.latest.earlier if self.latest is not None else None

    def close(self, seconds: float = 3.0) -> bool:
        """Gives the latest model up; whether no thread is left at work after so long."""
        return self.latest is None or self.latest.stop(seconds)
