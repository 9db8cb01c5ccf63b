"""Thoughts before the code: their budget, what keeps them out of programs and prompts, Ctrl-C, replay."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtchat.bench.quality.evaluate import UsageMeter
from mtchat.conversation.conversation import Conversation
from mtchat.errors import MtchatError
from mtchat.export import format
from mtchat.features.rework.rework import complete_turn
from mtchat.generate.complete import complete_candidates
from mtchat.generate.context import TokenBudget, fit, visible_turns
from mtchat.generate.events import Event, ThoughtWritten, TurnWritten
from mtchat.generate.prompt.families import instruct
from mtchat.session.context import plan_for
from mtchat.session.prompt import ABLE, ALWAYS, UNTRAINED, ModelCard, Prompt, Signals
from mtchat.session.provenance import EVERYTHING, Repair, Rewrite, Step
from mtchat.session.session import Session
from mtchat.session.settings import Sampling, Settings, thought_budget
from mtchat.session.turn import FORGOTTEN, INTERRUPTED, Turn, TurnOptions
from mtchat.store import load
from mtchat.testing import PIECE, FakeModel

THOUGHT = "Six is a number. The name must be x, and it is printed afterwards."
TOKENS = -(-len(THOUGHT) // PIECE)
REPLIES = {
    "set x": "x = 6\nprint(x)",
    "print x": "print(x)",
    "fail": ["1 / 0", "print(7)", "print(7)", "print(7)"],
}


def thinker() -> FakeModel:
    return FakeModel(REPLIES, thoughts={"set x": THOUGHT, "print x": "It is there.", "fail": "Divide."})


def talk(model: FakeModel, think: str = "on", **options: Any) -> Conversation:
    settings = Settings(policy=options.pop("policy", "plain"), think=think, corrections=False)
    return Conversation(model, settings=settings, **options)


def test_a_thought_comes_before_the_code_and_is_counted_apart():
    model, seen = thinker(), list[Event]()
    with talk(model, on_event=seen.append) as chat:
        result = chat.send("set x")
    [turn] = chat.session.path
    assert result.code == "x = 6\nprint(x)"
    assert turn.provenance.thought == THOUGHT
    assert turn.provenance.think == 1024
    assert (turn.usage.thought_tokens, turn.usage.completion_tokens) == (TOKENS, 3)
    (asked, _), (told, _) = model.requests
    assert asked.asks_for_thought
    assert (told.thought, told.messages) == (THOUGHT, asked.messages)
    thoughts = [event for event in seen if isinstance(event, ThoughtWritten)]
    assert thoughts[-1].text == THOUGHT
    assert seen.index(thoughts[-1]) < [type(event) for event in seen].index(TurnWritten)


def test_a_thought_ends_at_its_budget_and_the_code_follows():
    model = thinker()
    with talk(model, "3") as chat:
        assert chat.send("set x").code == "x = 6\nprint(x)"
    assert chat.session.path[0].provenance.thought == THOUGHT[: 3 * PIECE]
    assert chat.session.path[0].usage.thought_tokens == 3


def test_nothing_of_a_thought_is_in_later_prompts_the_program_or_exports():
    model = thinker()
    for policy in ("plain", "default"):
        with talk(model, policy=policy) as chat:
            chat.send("set x")
            chat.send("print x")
        assert THOUGHT not in chat.session.program.source
        last = model.requests[-2][0]
        assert last.asks_for_thought
        assert not any("Six" in message.content for message in last.messages)
        for form in format.load_formats():
            with suppress(MtchatError):
                assert "Six is a number" not in form.write(chat.session)


@pytest.mark.parametrize(
    ("setting", "thinks", "budget"),
    [
        ("auto", UNTRAINED, 0),
        ("auto", ABLE, 0),
        ("auto", ALWAYS, 1024),
        ("on", UNTRAINED, 0),
        ("on", ABLE, 1024),
        ("off", ALWAYS, 0),
        ("512", UNTRAINED, 512),
        ("512", ABLE, 512),
        ("512", "", 0),
        ("on", "", 0),
    ],
)
def test_how_long_a_model_thinks_depends_on_the_setting_and_on_what_it_can(
    setting: str, thinks: str, budget: int
) -> None:
    assert thought_budget(setting, ModelCard("m", chat=True, context=8192, thinks=thinks)) == budget


def test_a_thought_of_its_own_length_fits_a_small_context():
    assert thought_budget("on", ModelCard("m", chat=True, context=2048, thinks=ABLE)) == 512


class Stopping(FakeModel):
    """A model that is interrupted after some pieces of its `number`-th completion."""

    def __init__(self, number: int, pieces: int, **replies: str) -> None:
        super().__init__({**REPLIES, **replies}, thoughts={"set x": THOUGHT})
        self.number, self.pieces = number, pieces

    def complete(self, prompt: Prompt, sampling: Sampling) -> Any:
        for at, piece in enumerate(super().complete(prompt, sampling)):
            if len(self.requests) == self.number and at == self.pieces:
                raise KeyboardInterrupt
            yield piece


def test_an_interrupted_thought_is_an_interrupted_turn_that_can_be_completed(tmp_path: Path):
    model = Stopping(1, 4)
    with talk(model, store=tmp_path / "one.jsonl") as chat:
        chat.take("set x")
        [turn] = chat.session.path
        assert (turn.status, turn.chunk, turn.provenance.thought) == (INTERRUPTED, "", THOUGHT[: 4 * PIECE])
        assert turn.usage.thought_tokens == 4
        generator = chat.generator()
        done = complete_turn(generator, chat.session, 1, Sampling())
    assert done.taken
    assert done.new == "x = 6\nprint(x)"
    assert done.session.path[0].provenance.thought == THOUGHT[: 4 * PIECE]
    assert model.requests[-1][0].thought == THOUGHT[: 4 * PIECE]
    [again] = load(tmp_path / "one.jsonl").path
    assert again == turn
    with talk(thinker()) as other:
        other.session = chat.session
        assert list(other.verify()) == [None]


def test_an_interrupt_in_the_code_keeps_the_thought():
    with talk(Stopping(2, 2)) as chat:
        chat.take("set x")
    [turn] = chat.session.path
    assert (turn.status, turn.provenance.thought) == (INTERRUPTED, THOUGHT)
    assert turn.chunk.startswith("x = 6")


def test_an_interrupt_after_the_thought_and_before_any_code_keeps_the_thought():
    with talk(Stopping(2, 1, **{"set x": "\n" * PIECE + "x = 6"})) as chat:
        chat.take("set x")
    [turn] = chat.session.path
    assert (turn.status, turn.chunk, turn.provenance.thought) == (INTERRUPTED, "", THOUGHT)
    assert turn.usage.completion_tokens == 1


@pytest.mark.parametrize("policy", ["plain", "default"])
def test_later_prompts_do_not_show_an_instruction_without_code(policy: str):
    replies = {"show seven": "print(7)"}
    model = Stopping(1, 4, **replies)
    with talk(model, policy=policy) as chat:
        chat.take("set x")
        chat.take("show seven")
        assert [turn.chunk for turn in chat.session.path] == ["", "print(7)"]
        asked = model.requests[1][0]
        assert not any("set x" in message.content for message in asked.messages)
        assert "show seven" in asked.messages[-1].content
        with talk(Stopping(0, 0, **replies), policy=policy) as other:
            other.session = chat.session
            assert list(other.verify()) == [None, None]


def test_a_turn_without_code_is_told_where_it_is_asked_for_again():
    turns = Turn("set x", "", status=INTERRUPTED), Turn("print x", "print(x)")
    assert visible_turns(turns, EVERYTHING) == turns[1:]
    assert visible_turns(turns, EVERYTHING, whole=1) == turns


def test_a_turn_without_code_is_not_forgotten_with_the_next():
    session = Session().extend((Turn("set x", "", status=INTERRUPTED), Turn("print x", "print(x)")))
    last = session.path[-1]
    forgetting = replace(session, turn_options={last.id: TurnOptions(context=FORGOTTEN)})
    assert plan_for(forgetting, session.path).forgotten == (2,)


@pytest.mark.parametrize(
    ("reply", "thought", "advice"),
    [
        (512, 1024, "/set think off makes it fit"),
        (2000, 1024, "/set think off and /set max_tokens 1096 make it fit"),
        (2000, 0, "/set max_tokens 1096 makes it fit"),
    ],
)
def test_the_settings_that_a_full_context_is_said_to_need_are_enough(reply: int, thought: int, advice: str):
    def problem(reply: int, thought: int, tokens: int = 3000) -> str:
        room = TokenBudget(lambda prompt: tokens, ModelCard("tiny", context=4096), reply, thought)
        return fit(lambda turns: Prompt("a"), (), EVERYTHING, room).problem

    assert f": {advice}, " in problem(reply, thought)
    shorter = re.search(r"max_tokens (\d+)", advice)
    assert problem(int(shorter[1]) if shorter else reply, 0) == ""
    assert "it fit" not in problem(reply, thought, tokens=4096)


def test_a_session_says_how_long_the_model_thought_and_replays(tmp_path: Path):
    with talk(thinker(), store=tmp_path / "one.jsonl") as chat:
        chat.send("set x")
        chat.send("print x")
    again = load(tmp_path / "one.jsonl")
    assert [turn.id for turn in again.path] == [turn.id for turn in chat.session.path]
    assert again.path[0].provenance.thought == THOUGHT
    other = Conversation(thinker())
    other.session = again
    assert list(other.verify()) == [None, None]


@pytest.mark.parametrize("think", ["off", "auto"])
def test_turns_without_a_thought_have_the_ids_that_were_given_before_there_were_thoughts(think: str):
    with talk(thinker(), think) as chat:
        chat.send("set x")
        chat.send("print x")
    ids = ["fa0ca758229a6150978c0f8f4deecaf6", "b7093d11af94531d60d6d837a2a5bf8b"]
    assert [turn.id for turn in chat.session.path] == ids


def test_candidates_think_each_by_itself_with_their_own_seed():
    model = thinker()
    prompt = Prompt(messages=instruct.render((), "set x", "", "").messages, opening="```python\n", think=100)
    heard: list[tuple[int, int]] = []
    found = complete_candidates(
        model.candidates, instruct, prompt, Sampling(seed=5), 3, lambda *said: heard.append(said)
    )
    assert [each.thought for each in found] == [THOUGHT] * 3
    assert [instruct.chunk(each.text, "") for each in found] == ["x = 6\nprint(x)"] * 3
    assert [sampling.seed for asked, sampling in model.requests if asked.thought] == [5, 6, 7]
    assert heard == sorted(heard)
    assert heard[-1] == (2, 3 * TOKENS + 3 * 3)


def test_repairs_think():
    with talk(thinker(), policy="repair") as chat:
        chat.send("fail")
    made = [turn.provenance for turn in chat.session.turns]
    assert [type(each) for each in made] == [Step, Repair]
    assert [each.thought for each in made] == ["Divide.", "Divide."]
    assert [each.think for each in made] == [1024, 1024]


def test_a_whole_program_thinks_before_it_is_written_at_once():
    replies = {**REPLIES, "Step 2: fail": "1 / 0", "set x\nfail": "x = 6\nprint(x)\n\nprint(7)"}
    model = FakeModel(replies, thoughts={"set x": THOUGHT, "fail": "Divide.", "set x\nfail": "All at once."})
    with talk(model, policy="rewrite") as chat:
        chat.send("set x")
        chat.send("fail")
    last = chat.session.path[-1]
    assert isinstance(last.provenance, Rewrite)
    assert (last.provenance.thought, last.usage.thought_tokens) == ("All at once.", 2)


def test_understanding_asks_for_no_thought():
    class Listening(FakeModel):
        heard: tuple[Prompt, ...] = ()

        def classify(self, prompt: Prompt) -> Signals:
            self.heard += (prompt,)
            return super().classify(prompt)

    model = Listening(REPLIES, thoughts={"set x": THOUGHT})
    with talk(model) as chat:
        chat.send("set x")
        chat.understand("print x")
    assert [prompt.think for prompt in model.heard] == [0]


def test_a_benchmark_counts_thoughts_apart():
    meter = UsageMeter(thinker())
    with Conversation(meter, settings=Settings(policy="plain", think="on")) as chat:
        chat.send("set x")
    assert (meter.thought, meter.written) == (TOKENS, 3)


def test_a_benchmark_counts_the_prompt_of_candidates_that_think_once():
    meter = UsageMeter(thinker())
    prompt = Prompt(messages=instruct.render((), "set x", "", "").messages, opening="```python\n", think=100)
    complete_candidates(meter.candidates, instruct, prompt, Sampling(), 3)
    assert (meter.thought, meter.written) == (3 * TOKENS, 3 * 3)
    thinking, *_ = thinker().complete(prompt, Sampling())
    assert meter.prompt_tokens == thinking.usage.prompt_tokens
