"""The service: a conversation without any terminal, in memory or in a file, alone or beside another."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import OnOutput
from mtchat.errors import MtchatError, UsageError
from mtchat.features.understand.reading import Kind
from mtchat.generate.events import CodeWritten, Event, RunFinished, RunStarted, TurnWritten
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import Piece, Prompt, Signals
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.session.turn import INTERRUPTED
from mtchat.store import Log, load
from mtchat.testing import FakeModel
from tests.support.consoles import Spoken
from tests.support.fake_repl import Fake, FakeSandbox, run
from tests.support.scripts import needs_sandbox

PLAIN = Settings(policy="plain")


def chat_with(model: Fake, *, log: Log | None = None, sandbox: FakeSandbox | None = None) -> Conversation:
    return Conversation(model, sandbox or FakeSandbox(), log=log, settings=PLAIN)


def codes(chat: Conversation) -> list[str]:
    return [turn.chunk for turn in chat.session.path]


def test_a_turn_comes_back_as_a_value_with_what_it_did() -> None:
    chat = chat_with(Fake())
    first, second = chat.send("define x"), chat.send("print x")
    assert (first.number, first.instruction, first.code, first.ok) == (1, "define x", "x = 1", True)
    assert second.outcome is not None
    assert second.outcome.stdout == "1\n"
    assert second.usage.prompt_tokens == 100


def test_everything_is_done_in_memory_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chat = chat_with(Fake())
    chat.send("define x")
    chat.add("y = x + 1")
    chat.branch("mine")
    chat.goto(1)
    chat.undo()
    chat.redo()
    chat.drop(1)
    assert chat.export("code") == ""
    assert list(tmp_path.iterdir()) == []


def test_undo_redo_goto_branch_and_pick_move_through_the_tree() -> None:
    chat = chat_with(Spoken("x = 1", "x = 2", "x = 3"))
    chat.send("set x")
    assert chat.retry()
    assert codes(chat) == ["x = 2"]
    assert [turn.chunk for turn in chat.alternatives()] == ["x = 1", "x = 2"]
    assert chat.pick(1).code == "x = 1"
    with pytest.raises(UsageError, match="there are 2 candidates"):
        chat.pick(3)
    assert [turn.chunk for turn in chat.undo()] == ["x = 1"]
    assert codes(chat) == []
    assert [turn.chunk for turn in chat.redo()] == ["x = 1"]
    chat.branch("first")
    chat.goto("start")
    chat.goto("first")
    assert codes(chat) == ["x = 1"]


def test_candidates_are_of_the_instruction_of_the_last_turn_alone() -> None:
    chat = chat_with(Spoken("x = 1", "total = 2", "mean = 3", "mean = 4"))
    chat.send("set x")
    chat.send("compute the total")
    chat.goto(1)
    chat.send("compute the mean")
    assert [turn.chunk for turn in chat.alternatives()] == ["mean = 3"]
    with pytest.raises(UsageError, match="no candidate 2: there is 1 candidate"):
        chat.pick(2)
    assert chat.retry()
    assert [turn.chunk for turn in chat.alternatives()] == ["mean = 3", "mean = 4"]
    assert chat.pick(1).code == "mean = 3"


@pytest.mark.parametrize("number", [3, 7, -1])
def test_a_number_that_no_turn_has_is_named_by_whatever_takes_one(number: int) -> None:
    chat = chat_with(Fake())
    chat.add("x = 1")
    chat.add("y = 2")
    before = chat.session
    for use in (
        lambda: chat.turn(number),
        lambda: chat.explain(number),
        lambda: chat.edit(number, "define x"),
        lambda: chat.recode(number, "x = 2"),
        lambda: chat.recode(number, "x = <<a number>>"),
        lambda: chat.correct("use 5 instead of 1", number),
        lambda: chat.drop(number),
    ):
        with pytest.raises(MtchatError, match=f"no turn {number}; the program has 2 turns"):
            use()
    assert chat.session == before


def test_a_count_must_be_a_whole_number_of_at_least_1() -> None:
    chat = chat_with(Fake())
    chat.add("x = 1")
    for wrong in (0, -1, "1"):
        for use in (chat.undo, chat.redo, chat.compare, chat.fix, chat.pick):
            with pytest.raises(UsageError, match=f"must be a whole number of at least 1, not {wrong!r}"):
                use(wrong)  # type: ignore[operator]
    with pytest.raises(UsageError, match="a turn is named by its number from 1, not by '1'"):
        chat.turn("1")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a turn is named by its number"):
        chat.drop("1")  # type: ignore[arg-type]
    assert codes(chat) == ["x = 1"]


def test_one_path_is_attached_as_a_list_of_one(tmp_path: Path) -> None:
    names = ["a.txt", "b.txt", "c.txt"]
    for name in names:
        (tmp_path / name).write_text(name)
    chat = chat_with(Fake())
    chat.attach(str(tmp_path / "a.txt"))
    chat.attach(tmp_path / "b.txt")
    chat.attach([str(tmp_path / "b.txt"), tmp_path / "c.txt"])
    assert [file.name for file in chat.session.attached] == names
    for wrong in (5, [5], b"a.txt"):
        with pytest.raises(UsageError, match="attach takes one path or several"):
            chat.attach(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the file name is empty"):
        chat.attach("")


def test_one_string_is_one_argument_of_a_run() -> None:
    given: list[tuple[str, ...]] = []

    def listen(*inputs: Any) -> Outcome:
        given.extend(each.arguments for each in inputs if isinstance(each, RunInputs))
        return run(*inputs)

    chat = chat_with(Fake(), sandbox=FakeSandbox(run=listen))
    chat.add("x = 1")
    chat.run("ab")
    chat.run(["a", "b"])
    assert given[-2:] == [("ab",), ("a", "b")]
    for wrong in (5, [5]):
        with pytest.raises(UsageError, match="run takes strings as arguments, not 5"):
            chat.run(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="stdin must be the path of a file, not 5"):
        chat.run(stdin=5)  # type: ignore[arg-type]


def test_an_edit_regenerates_what_no_longer_fits_and_names_the_program_as_it_was() -> None:
    chat = chat_with(Fake())
    chat.send("define x")
    chat.send("print x")
    edit = chat.edit(1, "make x two")
    assert codes(chat) == ["x = 2", "print(x)"]
    assert (edit.later, edit.same, edit.branch) == (1, 1, "before-edit-1")
    edit = chat.recode(1, "x = 5")
    assert codes(chat) == ["x = 5", "print(x)"]
    assert [turn.chunk for turn in edit.before.path] == ["x = 2", "print(x)"]


def test_a_fix_keeps_the_best_program() -> None:
    chat = chat_with(Spoken("raise ValueError", "z = 3"))
    assert not chat.send("try it").ok
    fixed = chat.fix()
    assert fixed.rounds == 1
    assert codes(chat) == ["z = 3"]
    with pytest.raises(MtchatError, match="nothing to fix"):
        chat.fix()


def test_what_a_turn_or_a_fix_replaces_is_in_its_outcome() -> None:
    functions = [f"def {name}():\n    return 1" for name in ("total", "mean")]
    chat = chat_with(Spoken(functions[0], "total = 2", functions[1], "raise ValueError", "mean = 3"))
    chat.send("a function for the total")
    result = chat.send("print it")
    assert result.ok
    assert result.outcome is not None
    assert [each.name for each in result.outcome.replaced_names] == ["total"]
    chat.send("another function")
    assert chat.send("show it").outcome.replaced_names == ()
    chat.fix()
    assert chat.outcome is not None
    assert [each.sentence for each in chat.outcome.replaced_names] == [
        "turn 4 replaces `mean`, which turn 3 defined as a function"
    ]


def test_code_is_explained_line_by_line_without_a_model() -> None:
    chat = chat_with(Fake())
    chat.add("total = 1 + 2\nprint(total)")
    lines = chat.explain().split("\n")
    assert lines[0] == "total = 1 + 2"
    assert lines[1].startswith("    sets `total`")
    assert chat.model.stage() == ""


def test_the_events_of_a_turn_stream_as_they_happen() -> None:
    chat = chat_with(Fake())
    events = list(chat.stream("define x"))
    kinds = [type(event) for event in events]
    assert kinds.index(CodeWritten) < kinds.index(TurnWritten) < kinds.index(RunStarted)
    assert kinds[-1] is RunFinished
    assert codes(chat) == ["x = 1"]


def test_what_a_stream_raises_is_raised_where_it_is_read() -> None:
    chat = chat_with(Fake())
    with pytest.raises(MtchatError, match="turn 9"):
        list(chat.stream("use {code 9}"))
    assert codes(chat) == []
    assert [type(event) for event in chat.stream("define x")][-1] is RunFinished


def test_a_stream_that_is_closed_keeps_what_was_written_as_ctrl_c_does(tmp_path: Path) -> None:
    with Log.open(tmp_path / "one.jsonl") as log:
        chat = chat_with(Fake(), log=log)
        events = chat.stream("slowly")
        for event in events:
            if isinstance(event, CodeWritten) and event.code.count("\n") >= 2:
                break
        assert isinstance(events, Iterator)
        events.close()  # type: ignore[attr-defined]
        assert chat.session.path[-1].status == INTERRUPTED
        assert "line_1 = 1" in chat.session.path[-1].chunk
        assert load(tmp_path / "one.jsonl").path == chat.session.path
        assert chat.send("define x").ok


def test_a_stream_that_is_closed_stops_the_program_that_runs() -> None:
    running, stopped = threading.Event(), threading.Event()

    def endless(
        program: Program,
        limits: Limits,
        place: Path | None,
        on_output: OnOutput,
        given: RunInputs,
        look: bool,
    ) -> Outcome:
        running.set()
        try:
            while True:
                on_output("stdout", "tick\n")
                stopped.wait(0.01)
        except KeyboardInterrupt:
            stopped.set()
            raise

    chat = chat_with(Fake(), sandbox=FakeSandbox(endless, endless))
    events = chat.stream("define x")
    for event in events:
        if isinstance(event, RunStarted):
            break
    assert running.wait(5)
    events.close()  # type: ignore[attr-defined]
    assert stopped.is_set()
    assert codes(chat) == ["x = 1"]


@pytest.mark.sandbox
def test_a_stream_that_is_closed_stops_a_program_that_says_nothing(boxed: object) -> None:
    with Conversation(FakeModel({}, default="while True: pass"), settings=PLAIN) as chat:
        for event in (events := chat.stream("wait for ever")):
            if isinstance(event, RunStarted):
                break
        began = time.monotonic()
        time.sleep(1.0)
        events.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 15
        assert chat.outcome is not None
        assert chat.outcome.stopped
        assert chat.add("x = 1").number == 2


def test_a_conversation_in_a_with_statement_is_saved_and_its_file_released(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    with chat_with(Fake(), log=Log.open(path)) as chat:
        chat.send("define x")
    with chat_with(Fake(), log=Log.open(path)) as again:
        assert codes(again) == ["x = 1"]


def test_turns_that_could_not_be_saved_are_saved_at_the_end(tmp_path: Path) -> None:
    told: list[Event] = []
    blocked = tmp_path / "folder"
    with chat_with(Fake(), log=Log.open(blocked / "one.jsonl")) as chat:
        blocked.write_text("")
        chat.on_event = told.append
        chat.send("define x")
        assert "the session continues in memory" in chat.unsaved
        blocked.unlink()
    assert [turn.chunk for turn in load(blocked / "one.jsonl").path] == ["x = 1"]
    assert any("cannot save" in getattr(event, "text", "") for event in told)


def test_two_conversations_at_once_do_not_know_each_other(tmp_path: Path) -> None:
    models = FakeModel({}, default="a = 1"), FakeModel({}, default="b = 2")
    logs = [Log.open(tmp_path / f"{name}.jsonl") for name in "ab"]
    chats = [
        Conversation(model, FakeSandbox(), log=log, settings=PLAIN)
        for model, log in zip(models, logs, strict=True)
    ]
    threads = [
        threading.Thread(target=lambda chat=chat: [chat.send(f"step {n}", new=True) for n in range(5)])
        for chat in chats
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [codes(chat) for chat in chats] == [["a = 1"] * 5, ["b = 2"] * 5]
    for chat, name in zip(chats, "ab", strict=True):
        chat.close()
        assert [turn.chunk for turn in load(tmp_path / f"{name}.jsonl").path] == codes(chat)


@pytest.mark.parametrize(("run_setting", "ran"), [("on", True), ("ask", False), ("off", False)])
def test_programs_run_as_the_settings_say_and_never_unasked_if_nobody_can_be_asked(
    run_setting: str, ran: bool
) -> None:
    chat = Conversation(Fake(), FakeSandbox(), settings=Settings(policy="plain", run=run_setting))
    assert (chat.send("define x").outcome is not None) is ran


def test_several_candidates_are_chosen_by_the_majority_if_nobody_can_be_asked() -> None:
    class Undecided(Fake):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            code = "print(x)\nprint(x)" if sampling.temperature else "print(x)"
            yield Piece(f"{code}\n```\n")

    chat = Conversation(Undecided(), FakeSandbox(), settings=Settings(policy="plain", n=4))
    chat.send("show x")
    assert codes(chat) == ["print(x)\nprint(x)"]


def test_a_new_conversation_is_in_the_language_of_the_settings() -> None:
    chat = Conversation(Fake(), FakeSandbox(), settings=Settings(language="javascript"))
    assert chat.session.language.name == "javascript"
    assert chat.send("define f").code.startswith("function f()")
    assert chat.outcome is None


@pytest.mark.sandbox
@needs_sandbox
def test_a_change_comes_back_with_what_the_program_does_differently() -> None:
    replies = {
        "list n": "n = list(range(30))",
        "print the last": "print(n[-1])",
        "this change and no other.": "n = list(range(50))",
    }
    with Conversation(FakeModel(replies), settings=PLAIN) as chat:
        chat.send("list n")
        assert chat.send("print the last").change is None
        assert chat.correct("make it 50", 1)
        change = chat.last_change
        assert change is not None
        assert [(each.number, each.old, each.new) for each in change.outputs] == [(2, "29\n", "49\n")]
        assert [each.number for each in change.changed] == [1]
        assert change.kept == 1


def test_a_text_read_as_a_rename_that_names_nothing_changes_an_earlier_turn() -> None:
    model = FakeModel({"define x": "x = 1"}, default="y = 1")
    with Conversation(model, settings=PLAIN) as chat:
        chat.send("define x")
        chat.send("call it better")
        chat.read_as(Kind.RENAME)
        assert [turn.chunk for turn in chat.session.path] == ["y = 1"]


def test_a_reading_that_comes_to_nothing_leaves_the_step() -> None:
    with Conversation(FakeModel({}, default="x = 1"), settings=PLAIN) as chat:
        chat.send("define x")
        chat.send("again", new=True)
        head = chat.session.head
        chat.read_as(Kind.CHANGE)
        assert chat.session.head == head


class ClassifyingModel(Spoken):
    """Keeps the prompts by which it is asked what an instruction is."""

    def __init__(self, *replies: str) -> None:
        super().__init__(*replies)
        self.classified: list[Prompt] = []

    def classify(self, prompt: Prompt) -> Signals:
        self.classified.append(prompt)
        return super().classify(prompt)


def with_state(
    program: Program,
    limits: Limits,
    place: Path | None,
    on_output: OnOutput,
    given: RunInputs,
    look: bool = False,
) -> Outcome:
    """A run that has a state if it is asked for one."""
    done = Outcome("fake", outputs=("1\n",) * len(program.chunks))
    return replace(done, state=("x: int 1",)) if given.with_state else done


def user_texts(prompt: Prompt) -> list[str]:
    return [each.content for each in prompt.messages if each.role == "user"]


def test_the_model_is_told_the_state_but_what_a_text_means_is_read_without_it() -> None:
    model = ClassifyingModel("x = 1", "y = 2", "z = 3")
    settings = Settings(policy="state")
    chat = Conversation(model, FakeSandbox(with_state, with_state), settings=settings)
    for instruction in ("define x", "define y", "define z"):
        chat.send(instruction)
    shown = "The code so far printed:\n1\n\n"
    assert user_texts(model.asked[-1][0]) == [
        "define x",
        f"{shown}Variables now:\nx: int 1\n\ndefine y",
        f"{shown}define z",
    ]
    assert user_texts(model.classified[-1]) == ["define x", "define y", "define z"]


@pytest.mark.parametrize("settings", [Settings(policy="plain"), Settings(policy="state", state=False)])
def test_no_state_is_asked_for_or_told_where_the_policy_or_the_user_does_not_want_it(
    settings: Settings,
) -> None:
    model = Spoken("x = 1", "y = 2")
    chat = Conversation(model, FakeSandbox(with_state, with_state), settings=settings)
    chat.send("define x")
    chat.send("define y")
    assert chat.outcome is not None
    assert chat.outcome.state == ()
    assert user_texts(model.asked[-1][0]) == ["define x", "define y"]


@pytest.mark.sandbox
@needs_sandbox
def test_the_state_outlives_the_process_with_the_session_and_gives_the_same_prompt(tmp_path: Path) -> None:
    replies = {
        "keep the names": "class Loud:\n    def __repr__(self):\n        print('called')\n\n"
        "loud, names = Loud(), ['ana', 'bo']\nprint('kept')",
        "count them": "count = len(names)",
        "print it": "print(count)",
    }
    model, settings = FakeModel(replies), Settings(policy="state")
    with Conversation(model, store=tmp_path / "one.jsonl", settings=settings) as chat:
        chat.send("keep the names")
        assert chat.send("count them").turn.provenance.state == (
            "The code so far printed:\nkept\n\n"
            "Variables now:\nLoud: class\nloud: Loud\nnames: list of 2 str ['ana', 'bo']"
        )
        prompt = chat.generator().prompt(chat.session, "print it")
        assert chat.outcome is not None
        assert chat.outcome.stdout == "kept\n"
    with Conversation(FakeModel(replies), store=tmp_path / "one.jsonl", settings=settings) as again:
        assert again.generator().prompt(again.session, "print it") == prompt
        assert again.send("print it").turn.provenance.state == "Variables now:\ncount: int 2"
        assert list(again.verify()) == [None] * 3
