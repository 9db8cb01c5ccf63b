"""One thread at a time changes a conversation; the others are refused, and nothing is lost."""

from collections.abc import Callable
from threading import Event, Thread

import pytest

from mtchat import Conversation, Limits, MtchatError, Outcome, UsageError
from mtchat.testing import FakeModel

CHANGES: dict[str, Callable[[Conversation], object]] = {
    "send": lambda chat: chat.send("second"),
    "add": lambda chat: chat.add("y = 2"),
    "edit": lambda chat: chat.edit(1, "second"),
    "recode": lambda chat: chat.recode(1, "x = 2"),
    "retry": lambda chat: chat.retry(),
    "undo": lambda chat: chat.undo(),
    "redo": lambda chat: chat.redo(),
    "branch": lambda chat: chat.branch("b"),
    "goto": lambda chat: chat.goto("start"),
    "pick": lambda chat: chat.pick(1),
    "drop": lambda chat: chat.drop(1),
    "fix": lambda chat: chat.fix(),
    "check": lambda chat: chat.check("x == 1"),
    "run": lambda chat: chat.run(),
    "vars": lambda chat: chat.vars(),
}


class SlowModel(FakeModel):
    """Writes the second piece of a reply once it may."""

    def __init__(self) -> None:
        super().__init__({}, default="xs = [1, 2, 3, 4, 5]\nys = xs")
        self.may = Event()

    def complete(self, prompt, sampling):  # type: ignore[no-untyped-def]
        for number, piece in enumerate(super().complete(prompt, sampling)):
            if number == 1:
                assert self.may.wait(20)
            yield piece


class NoRun:
    """Runs nothing: each program ends at once."""

    def run(self, program, limits: Limits, collect, watch, inputs, /) -> Outcome:  # type: ignore[no-untyped-def]
        return Outcome(outputs=("",) * len(program.chunks))

    def resume(self, program, limits, collect, watch, inputs, look, /) -> Outcome:  # type: ignore[no-untyped-def]
        return self.run(program, limits, collect, watch, inputs)

    def unavailable_reason(self) -> str:
        return ""

    def warning(self) -> str:
        return ""

    def close(self) -> None: ...


@pytest.fixture
def slow() -> SlowModel:
    return SlowModel()


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes_a_conversation_while_its_stream_is_open(slow: SlowModel, change: str) -> None:
    chat = Conversation(slow, NoRun())
    events = chat.stream("first")
    next(events)
    with pytest.raises(UsageError, match="is taking a turn; wait for it, or close its stream"):
        CHANGES[change](chat)
    slow.may.set()
    for _ in events:
        pass
    assert [turn.instruction for turn in chat.session.path] == ["first"]
    assert chat.send("second").number == 2


def test_of_threads_that_send_at_once_each_turn_is_kept_or_refused(slow: SlowModel) -> None:
    slow.may.set()
    chat = Conversation(slow, NoRun())
    taken: list[str] = []

    def send(name: str) -> None:
        try:
            chat.send(name, new=True)
            taken.append(name)
        except UsageError:
            pass

    threads = [Thread(target=send, args=(f"number {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken
    assert sorted(turn.instruction for turn in chat.session.path) == sorted(taken)


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes_a_closed_conversation(change: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = FakeModel({}, default="x = 1")
    with Conversation(model, NoRun(), store=tmp_path / "closed.jsonl") as chat:
        chat.send("first")
    with pytest.raises(MtchatError, match="this conversation is closed"):
        CHANGES[change](chat)
    assert chat.session.path[0].code == "x = 1"
    with Conversation(model, NoRun(), store=tmp_path / "closed.jsonl") as again:
        assert len(again.session.path) == 1


def test_closing_a_conversation_ends_the_turn_of_its_stream_and_keeps_what_was_written(
    slow: SlowModel,
) -> None:
    chat = Conversation(slow, NoRun())
    events = chat.stream("first")
    next(events)
    slow.may.set()
    chat.close()
    assert [turn.instruction for turn in chat.session.path] == ["first"]
    for _ in events:
        pass
