"""Scores of texts reach a conversation from models that have them; other models give none."""

from collections.abc import Callable, Sequence

import pytest

from mtchat.conversation.conversation import Conversation
from mtchat.conversation.understanding import understand
from mtchat.errors import ModelError
from mtchat.features.understand.reading import Kind
from mtchat.models.loading import LoadingModel, Model
from mtchat.session.prompt import Prompt, Signals
from mtchat.testing import FakeModel
from tests.support.fake_repl import FakeSandbox

PROMPT = Prompt("# a program\n")


class CountingModel(FakeModel):
    """A model to which the shorter text is the likelier."""

    def score(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()) -> tuple[float, ...]:
        if prompt != PROMPT:
            raise ValueError("unknown prompt")
        return tuple(-float(len(text)) for text in texts)


def ready(model: Model) -> Conversation:
    return Conversation(model, FakeSandbox())


def loading(model: Model) -> Conversation:
    return Conversation(LoadingModel("counting", lambda report: model), FakeSandbox())


@pytest.mark.parametrize("start", [ready, loading])
def test_a_conversation_passes_on_the_scores_of_its_model(start: Callable[[Model], Conversation]) -> None:
    assert start(CountingModel({})).score(PROMPT, ["a", "bcd"], ["", "x"]) == (-1.0, -3.0)


@pytest.mark.parametrize("start", [ready, loading])
def test_a_model_without_scores_gives_none(start: Callable[[Model], Conversation]) -> None:
    assert start(FakeModel({})).score(PROMPT, ["a", "bcd"], ["", "x"]) is None


def test_a_context_too_short_for_the_texts_gives_none() -> None:
    assert ready(CountingModel({}, context=200)).score(PROMPT, ["a " * 300], [""]) is None


def test_a_failure_while_scoring_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="unknown prompt; try another model"):
        loading(CountingModel({})).score(Prompt("else"), ["a"], [""])


class QuestionModel(FakeModel):
    """A model that finds any text likely as a question, and cannot tell otherwise."""

    def classify(self, prompt: Prompt) -> Signals | None:  # type: ignore[override]
        return None

    def score(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()) -> tuple[float, ...]:
        return tuple(-30.0 + 12.0 * ("question" in lead) for lead in leads)


@pytest.mark.parametrize("start", [ready, loading])
def test_a_model_without_a_probe_reads_a_text_by_its_likelihood(
    start: Callable[[Model], Conversation],
) -> None:
    chat = start(QuestionModel({"define x": "x = 1"}))
    assert understand(chat, "define x").source == "nothing"
    chat.send("define x")
    found = understand(chat, "so and so")
    assert (found.source, found.best.kind) == ("likelihood", Kind.QUESTION)
