"""Checks of a conversation: in Python and in words, tried again after whatever changes the program."""

from collections.abc import Callable, Iterator

import pytest

from mtchat.conversation.conversation import Conversation
from mtchat.errors import ModelError, MtchatError, UsageError
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import ASK, OFF, Sampling, Settings
from mtchat.testing import FakeModel
from tests.support.scripts import needs_sandbox

pytestmark = [
    pytest.mark.sandbox,
    needs_sandbox,
]
REPLIES = {
    "add up": "total = sum(prices)",
    "add up all": "total = sum(prices) + 1",
    "list prices": "prices = [10, 30]",
    "list dear prices": "prices = [20, 30]",
    "show it": "print(total)",
    "total must be 40": " total == 40",
    "prices has 2 entries": " len(prices) == 2",
    "die Summe total ist nie negativ": " total >= 0",
    "total is a number": " total == total",
    "with this change and no other.": "total = sum(prices) + 1",
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Sandbox]:
    with Sandbox() as ground:
        yield ground


@pytest.fixture
def chat(ground: Sandbox) -> Conversation:
    return chat_with(FakeModel(REPLIES, default="not code ("), ground)


def chat_with(model: FakeModel, ground: Sandbox, **settings: str) -> Conversation:
    chosen = Settings(policy="plain", **settings)
    return Conversation(model, ground, settings=chosen)


def results(chat: Conversation) -> list[tuple[str, bool | None]]:
    assert chat.outcome is not None
    return [(each.code, each.passed) for each in chat.outcome.check_results]


def priced(chat: Conversation) -> Conversation:
    chat.send("list prices")
    chat.send("add up")
    return chat


def test_words_become_an_expression_that_is_kept_with_its_turn(chat: Conversation):
    kept = priced(chat).check("total must be 40")
    assert (kept.turn, kept.code, kept.passed) == (2, "total == 40", True)
    assert chat.check("die Summe total ist nie negativ").code == "total >= 0"
    early = chat.check("after turn 1, prices has 2 entries")
    assert (early.turn, early.code, early.passed) == (1, "len(prices) == 2", True)
    assert [turn.chunk for turn in chat.session.path] == ["prices = [10, 30]", "total = sum(prices)"]


def test_a_check_that_fails_is_kept_and_says_what_is_the_case(chat: Conversation):
    chat.send("list dear prices")
    chat.send("add up")
    kept = chat.check("total must be 40")
    assert (kept.passed, kept.actual) == (False, "total is 50")
    assert chat.session.checks


def test_python_asks_no_model(ground: Sandbox):
    model = FakeModel(REPLIES)
    chat = priced(chat_with(model, ground))
    before = len(model.requests)
    assert chat.check("assert total == 40").passed
    assert chat.check("total is 40").passed
    assert len(model.requests) == before


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        (lambda chat: chat.send("show it"), True),
        (lambda chat: chat.add("print(total)"), True),
        (lambda chat: chat.add("prices.clear()"), True),  # a check is about the state after its own turn
        (lambda chat: chat.edit(1, "list dear prices"), False),
        (lambda chat: chat.recode(1, "prices = [5]"), False),
        (lambda chat: chat.edit(2, "add up all"), False),
        (lambda chat: chat.correct("add one to the total", 2), False),
        (lambda chat: chat.run(), True),
        (lambda chat: (chat.send("show it"), chat.undo()), True),
        (lambda chat: (chat.send("show it"), chat.undo(), chat.redo()), True),
        (lambda chat: chat.goto(chat.edit(1, "list dear prices").branch), True),
        (lambda chat: (chat.edit(1, "list dear prices"), chat.edit(1, "list prices")), True),
    ],
    ids=[
        *("turn", "own code", "later change", "edit", "recode", "edit own turn", "correction", "run"),
        *("undo", "redo", "branch", "edit back"),
    ],
)
def test_kept_checks_are_tried_again_after_whatever_changes_the_program(
    chat: Conversation, change: Callable[[Conversation], object], passed: bool
):
    priced(chat).check("total must be 40")
    change(chat)
    assert results(chat) == [("total == 40", passed)]


def test_a_step_back_tries_a_check_that_was_added_later(
    chat: Conversation,
):
    priced(chat).check("1: len(prices) == 2")
    chat.undo()
    assert results(chat) == [("len(prices) == 2", True)]
    chat.redo()
    chat.goto(1)
    assert results(chat) == [("len(prices) == 2", True)]


def test_what_says_nothing_is_refused_and_nothing_is_lost(chat: Conversation):
    before = priced(chat).session
    vacuous = "total == total is refused: it is true whatever the values are; write it in Python"
    with pytest.raises(UsageError, match=vacuous):
        chat.check("total is a number")
    with pytest.raises(UsageError, match="the model proposed no expression; write it in Python: /check EXPR"):
        chat.check("the stars are well aligned")
    assert chat.session == before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "check what"),
        ("   ", "check what"),
        ("total must be 42 " * 600, "at most 400 characters"),
        ("total must be 42 " * 10_000, "at most 400 characters"),
    ],
)
def test_odd_texts_give_one_line(chat: Conversation, text: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        priced(chat).check(text)


def test_without_a_turn_there_is_nothing_to_check(chat: Conversation):
    with pytest.raises(MtchatError, match="there is no turn to check yet"):
        chat.check("total must be 40")


@pytest.mark.parametrize("run", [OFF, ASK])
def test_where_programs_do_not_run_words_cannot_be_tried(ground: Sandbox, run: str):
    chat = priced(chat_with(FakeModel(REPLIES), ground, run=run))
    with pytest.raises(UsageError, match=f"but run is {run} .* write it in Python: /check EXPRESSION"):
        chat.check("total must be 40")
    assert chat.check("total == 40").passed is None


def test_a_program_that_fails_before_its_end_has_no_state_to_try_words_on(chat: Conversation):
    priced(chat).add("raise ValueError('no')")
    with pytest.raises(UsageError, match="but the program fails: turn 3, line 1: ValueError: no; write it"):
        chat.check("total must be 40")
    assert chat.check("after turn 2, total must be 40").passed


class Unbatched(FakeModel):
    """A model that cannot complete several prompts at once."""

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        raise ModelError("this model completes one prompt at a time")


def test_a_model_without_batches_is_asked_once(ground: Sandbox):
    chat = priced(chat_with(Unbatched(REPLIES), ground))
    assert chat.check("total must be 40").code == "total == 40"


class Silent(FakeModel):
    """A model that fails when it is asked about a check."""

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        if prompt.opening.endswith("assert"):
            raise ModelError("the server does not answer")
        return super().complete(prompt, sampling)


def test_a_model_that_fails_gives_one_line(ground: Sandbox):
    chat = priced(chat_with(Silent(REPLIES), ground))
    with pytest.raises(UsageError, match="the server does not answer; write it in Python"):
        chat.check("total must be 40")
