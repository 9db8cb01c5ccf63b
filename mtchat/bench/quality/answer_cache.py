"""Asks a model what a text means, or how likely it is, once for all conversations that ask the same."""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from mtchat.models.loading import Model, classify_with, score_with
from mtchat.session.prompt import ModelCard, Piece, Prompt, Signals
from mtchat.session.settings import Sampling

T = TypeVar("T")


class AnswerCache:
    """A model whose scores and readings are kept, since they depend on nothing but the prompt.

    Conversations that are held in several ways often ask the same: up to the first turn that a policy makes
    otherwise their programs are equal. Threads share this; two that ask the same at once wait for one answer.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.lock = threading.Lock()
        self.known: dict[Hashable, Future[Any]] = {}

    @property
    def card(self) -> ModelCard:
        return self.model.card

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        return self.model.complete(prompt, sampling)

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        return self.model.candidates(prompt, sampling, count)

    def text(self, prompt: Prompt) -> str:
        return self.model.text(prompt)

    def count(self, text: str) -> int:
        return self.model.count(text)

    def close(self) -> None:
        self.model.close()

    def score(
        self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()
    ) -> tuple[float, ...] | None:
        return self.answer(
            (prompt, tuple(texts), tuple(leads)), lambda: score_with(self.model, prompt, texts, leads)
        )

    def classify(self, prompt: Prompt) -> Signals | None:
        return self.answer(prompt, lambda: classify_with(self.model, prompt))

    def answer(self, question: Hashable, compute: Callable[[], T]) -> T:
        with self.lock:
            known = self.known.get(question)
            mine: Future[Any] = known or self.known.setdefault(question, Future())
        if known is None:
            try:
                mine.set_result(compute())
            except BaseException as error:
                mine.set_exception(error)
                raise
        result: T = mine.result()
        return result
