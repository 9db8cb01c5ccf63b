"""Ctrl-C while something is to be done later: it is not done unasked, and not lost."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from mtchat.console.desk import Desk
from mtchat.console.stopping import hearing
from mtchat.repl.app import dispatch, prompter, step
from mtchat.repl.offer import Offer
from tests.repl.test_desk import Spoken, desk_in, said
from tests.support.fake_repl import run


def steps(desk: Desk, keys: str, offer: Offer, count: int = 1) -> None:
    """So many lines of the REPL, with all keys typed at once."""
    with create_pipe_input() as pipe, create_app_session(pipe, DummyOutput()):
        prompt = prompter(desk, None)
        pipe.send_text(keys)
        for _ in range(count):
            assert step(desk, prompt, offer)


def test_what_is_done_later_needs_no_keys_and_those_typed_are_for_the_next_prompt(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Spoken("x = 1", "print(x)"))
    dispatch(desk, "define x")
    desk.later = "/undo"
    steps(desk, "print x\r", Offer(), count=2)
    assert "2› /undo\n" in said(desk)
    assert [turn.instruction for turn in desk.session.path] == ["print x"]


def test_the_prompt_begins_with_what_was_held_back_and_it_can_be_changed(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Spoken("x = 1"))
    desk.later = "define"
    desk.hold_back()
    assert (desk.later, desk.held) == ("", "define")
    steps(desk, " x\r", Offer())
    assert [turn.instruction for turn in desk.session.path] == ["define x"]
    assert desk.held == ""


@pytest.mark.parametrize(("later", "held"), [("/tree", ""), ("", "/tree")])
def test_an_offer_waits_where_the_prompt_has_something_else(later: str, held: str, tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Spoken("raise ValueError"))
    dispatch(desk, "fail")
    desk.later, desk.held, offer = later, held, Offer()
    steps(desk, "\r", offer)
    assert offer.text(desk.session) == "/fix"


def test_ctrl_c_holds_back_what_was_to_be_done_later_whoever_ends_it(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    desk.later = "/undo"
    with hearing(desk.hold_back), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert (desk.later, desk.held) == ("", "/undo")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_stopped_holds_it_back_too(tmp_path: Path) -> None:
    desk = desk_in(
        tmp_path,
        Spoken("x = 1"),
        runs=lambda *given: replace(run(*given), limit="interrupted", finished=False),
    )
    desk.later = "/undo"
    dispatch(desk, "define x")
    assert (desk.later, desk.held) == ("", "/undo")
