"""What conversations ask a model in the same words is asked once, however many ask."""

import threading
from collections.abc import Sequence

import pytest

from mtchat.bench.quality.answer_cache import AnswerCache
from mtchat.errors import ModelError
from mtchat.models.loading import Classifier, Scorer
from mtchat.session.prompt import Message, Prompt, Signals
from mtchat.session.settings import Sampling
from mtchat.testing import FakeModel

PROMPT, OTHER = (Prompt(messages=(Message("user", text),)) for text in ("set x", "show x"))


class Asked(FakeModel):
    """A model that notes what it is asked, and can be made to wait or to fail."""

    def __init__(self) -> None:
        super().__init__({"set x": "x = 1"}, readings={"show x": "question"})
        self.asked: list[object] = []
        self.free = threading.Event()
        self.free.set()
        self.fails = False

    def score(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()) -> tuple[float, ...]:
        self.asked.append(tuple(texts))
        self.free.wait(10)
        if self.fails:
            raise ModelError("gone")
        return tuple(-float(len(text)) for text in texts)

    def classify(self, prompt: Prompt) -> Signals:
        self.asked.append(prompt)
        return super().classify(prompt)


def test_what_is_asked_again_is_not_asked_of_the_model():
    model = Asked()
    cache = AnswerCache(model)
    assert cache.score(PROMPT, ["a", "bb"]) == cache.score(PROMPT, ["a", "bb"]) == (-1.0, -2.0)
    assert cache.classify(PROMPT) == cache.classify(PROMPT) == FakeModel({}).classify(PROMPT)
    assert len(model.asked) == 2


def test_another_question_has_its_own_answer():
    cache = AnswerCache(Asked())
    assert cache.score(PROMPT, ["a"]) != cache.score(PROMPT, ["aaa"])
    assert cache.classify(PROMPT) != cache.classify(OTHER)


def test_who_asks_while_another_waits_gets_the_same_answer():
    model = Asked()
    cache, answers = AnswerCache(model), []
    model.free.clear()
    threads = [
        threading.Thread(target=lambda: answers.append(cache.score(PROMPT, ["abc"]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    model.free.set()
    for thread in threads:
        thread.join()
    assert answers == [(-3.0,)] * 4
    assert len(model.asked) == 1


def test_a_failure_is_everyones():
    model = Asked()
    model.fails = True
    cache = AnswerCache(model)
    for _ in range(2):
        with pytest.raises(ModelError, match="gone"):
            cache.score(PROMPT, ["a"])


def test_a_model_that_can_tell_neither_says_so():
    class Mute:
        card = FakeModel({}).card

    cache = AnswerCache(Mute())  # type: ignore[arg-type]
    assert isinstance(cache, Scorer)
    assert isinstance(cache, Classifier)
    assert cache.score(PROMPT, ["a"]) is None
    assert cache.classify(PROMPT) is None


def test_completions_are_the_models_own():
    model = Asked()
    pieces = [
        *AnswerCache(model).complete(PROMPT, Sampling()),
        *AnswerCache(model).complete(PROMPT, Sampling()),
    ]
    assert "".join(piece.text for piece in pieces).count("x = 1") == 2
    assert len(model.requests) == 2
