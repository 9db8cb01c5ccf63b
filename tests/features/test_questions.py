"""A question about the program is answered, and is never a turn."""

from pathlib import Path

from mtchat.repl.app import dispatch
from tests.support.consoles import Spoken, console_in, said
from tests.support.repl import say, session
from tests.support.terminal import Terminal


def test_a_question_is_answered_and_the_program_is_as_it_was(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "It sets x."))
    dispatch(console, "define x")
    dispatch(console, "what does this do?")
    assert "answering a question (Ctrl-T makes it a new step)\n" in said(console)
    assert "≈ It sets x." in said(console)
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]


def test_on_a_terminal_a_question_makes_no_turn(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "print x", "2› ")
    text = say(screen, "what does this do?", lambda text: text.count("\n2›") == 2)
    assert "answering a question (Ctrl-T makes it a new step)" in text
    say(screen, "define x", "3› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["print x", "define x"]
