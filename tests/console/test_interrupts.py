"""Ctrl-C while something is to be done later: it is not done unasked, and not lost."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from mtchat.console.console import Console
from mtchat.console.terminal import on_interrupt
from mtchat.repl.app import dispatch, make_prompt, read_and_run
from mtchat.repl.input_line import FixSuggestion
from mtchat.session.outcome import Reason
from tests.support.consoles import Spoken, console_in, said
from tests.support.fake_repl import run


def steps(console: Console, keys: str, offer: FixSuggestion, count: int = 1) -> None:
    """So many lines of the REPL, with all keys typed at once."""
    with create_pipe_input() as pipe, create_app_session(pipe, DummyOutput()):
        prompt = make_prompt(console, None)
        pipe.send_text(keys)
        for _ in range(count):
            assert read_and_run(console, prompt, offer)


def test_what_is_done_later_needs_no_keys_and_those_typed_are_for_the_next_prompt(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "print(x)"))
    dispatch(console, "define x")
    console.questions.later = "/undo"
    steps(console, "print x\r", FixSuggestion(), count=2)
    assert "2› /undo\n" in said(console)
    assert [turn.instruction for turn in console.session.path] == ["print x"]


def test_the_prompt_begins_with_what_was_held_back_and_it_can_be_changed(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1"))
    console.questions.later = "define"
    console.questions.hold_back()
    assert (console.questions.later, console.questions.unsent) == ("", "define")
    steps(console, " x\r", FixSuggestion())
    assert [turn.instruction for turn in console.session.path] == ["define x"]
    assert console.questions.unsent == ""


@pytest.mark.parametrize(("later", "held"), [("/tree", ""), ("", "/tree")])
def test_an_offer_waits_where_the_prompt_has_something_else(later: str, held: str, tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("raise ValueError"))
    dispatch(console, "fail")
    console.questions.later, console.questions.unsent, offer = later, held, FixSuggestion()
    steps(console, "\r", offer)
    assert offer.text(console.session) == "/fix"


def test_ctrl_c_holds_back_what_was_to_be_done_later_whoever_ends_it(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    console.questions.later = "/undo"
    with on_interrupt(console.questions.hold_back), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert (console.questions.later, console.questions.unsent) == ("", "/undo")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_stopped_holds_it_back_too(tmp_path: Path) -> None:
    console = console_in(
        tmp_path,
        Spoken("x = 1"),
        runs=lambda *given: replace(run(*given), reason=Reason.INTERRUPTED, finished=False),
    )
    console.questions.later = "/undo"
    dispatch(console, "define x")
    assert (console.questions.later, console.questions.unsent) == ("", "/undo")
