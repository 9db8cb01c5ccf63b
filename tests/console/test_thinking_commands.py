"""Thoughts in the console: what /set think says, how a thought is shown, /thought, and /context."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.console.captions import describe_cost, describe_think, describe_time
from mtchat.console.turn_view import TurnView
from mtchat.console.view import View
from mtchat.generate.events import CodeWritten, ThoughtWritten, TurnWritten
from mtchat.repl.app import dispatch
from mtchat.session.prompt import ABLE, ALWAYS, UNTRAINED, ModelCard, Usage
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn
from tests.support.consoles import console_in, said
from tests.support.fake_repl import Fake

DONE = Turn("set x", "x = 6", usage=Usage(10, 0, 3, 0.5, 0.5, thought_tokens=20, thought_seconds=2.0))
STOPPED = replace(DONE, chunk="", status=INTERRUPTED, usage=replace(DONE.usage, completion_tokens=0))


def shown(*events: object, thoughts: bool) -> list[str]:
    out = io.StringIO()
    show = TurnView(View(out, live=False, color=False), thoughts=thoughts)
    for event in events:
        show(event)  # type: ignore[arg-type]
    return out.getvalue().splitlines()


EVENTS = (
    ThoughtWritten("Six", 1, 9),
    ThoughtWritten("Six is\na num", 3, 9),
    ThoughtWritten("Six is\na number", 4, 9),
    CodeWritten("x ="),
    TurnWritten(Session().add(DONE), DONE),
)
COST = "written in 1.0 s, after 20 tokens of thought in 2.0 s"


def test_a_thought_is_shown_line_by_line_above_the_code_if_that_is_set() -> None:
    assert shown(*EVENTS, thoughts=True) == ["Six is", "a number", "────────", "x = 6", COST]
    assert shown(*EVENTS, thoughts=False) == ["x = 6", COST]


def test_each_thought_is_shown_from_its_beginning() -> None:
    lines = shown(*EVENTS, *EVENTS, thoughts=True)
    assert lines[:5] == lines[5:]


@pytest.mark.parametrize("written", [0, 1])
def test_an_interrupted_thought_says_how_to_go_on(written: int) -> None:
    turn = replace(STOPPED, usage=replace(STOPPED.usage, decode_seconds=0.0, completion_tokens=written))
    lines = shown(EVENTS[0], TurnWritten(Session().add(turn), turn), thoughts=False)
    assert "20 tokens of thought in 2.0 s" in lines[0]
    assert lines[1] == "■ interrupted before any code; the thought so far is kept"
    assert "/complete writes the code after it" in lines[2]
    assert "later steps go without this instruction" in lines[3]


def test_what_a_thought_cost_is_said_apart() -> None:
    assert describe_time(DONE.usage) == COST
    assert describe_cost(DONE.usage).startswith("20 tokens of thought in 2.0 s, then 3 tokens in 1.0 s (6.0 ")
    assert "thought" not in describe_cost(replace(DONE.usage, thought_tokens=0))


@pytest.mark.parametrize(
    ("setting", "thinks", "expected"),
    [
        ("auto", ALWAYS, ""),
        ("off", ALWAYS, "made to think"),
        ("off", ABLE, ""),
        ("on", ABLE, ""),
        ("on", UNTRAINED, "/set think 512 overrides that"),
        ("512", UNTRAINED, "<think> tags"),
        ("512", "", "cannot think"),
        ("auto", "", ""),
    ],
)
def test_a_setting_that_a_model_does_not_take_as_a_matter_of_course_is_noted(
    setting: str, thinks: str, expected: str
) -> None:
    told = describe_think(setting, ModelCard("tiny", chat=True, thinks=thinks))
    assert expected in told
    assert bool(expected) == bool(told)


def test_thoughts_can_be_read_again_and_are_not_in_the_context(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    dispatch(console, "/set think 30")
    dispatch(console, "define x")
    dispatch(console, "/thought")
    assert "The user wants a variable." in said(console)
    assert "30 tokens of thought in 0.2 s" in said(console)
    before = len(said(console))
    dispatch(console, "/context")
    context = said(console)[before:]
    assert "The user wants" not in context
    assert "room to think" in context
    dispatch(console, "/set think off")
    dispatch(console, "print x")
    dispatch(console, "/thought 2")
    assert "turn 2 was written without a thought" in said(console)


def test_the_note_belongs_to_the_model_in_use(tmp_path: Path) -> None:
    class Plain(Fake):
        def card(self) -> ModelCard:
            return replace(super().card(), thinks=UNTRAINED)

    console = console_in(tmp_path, Plain())
    dispatch(console, "/set think on")
    assert "fake was not trained to think and writes code directly" in said(console)
