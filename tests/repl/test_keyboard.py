"""A program that is run in a terminal reads what is typed there, and never holds the terminal itself."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.console.terminal import asks_for_input, forward_keyboard
from mtchat.repl.app import dispatch
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.settings import Limits
from tests.support.consoles import Spoken, console_in, said
from tests.support.scripts import needs_sandbox
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, terminal

GREET = "name = input('name? ')\nprint('hello', name)"


@pytest.mark.parametrize(
    "code",
    [
        "x = input()",
        "import sys\nfor line in sys.stdin: print(line)",
        "from sys import stdin",
        "from getpass import getpass",
    ],
)
def test_a_program_that_asks_for_input_is_known_by_its_code(code: str) -> None:
    assert asks_for_input(code, None)
    assert not asks_for_input("print('input')", None)


def test_it_is_known_by_its_last_run_too() -> None:
    assert asks_for_input("ask()", Outcome(error="EOFError", reason=Reason.INPUT))


@pytest.mark.sandbox
@needs_sandbox
def test_what_is_typed_reaches_the_program_and_is_kept() -> None:
    source, into = os.pipe()
    os.write(into, b"Ann\n")
    with Sandbox() as ground, forward_keyboard(source) as board:
        given = RunInputs(stdin=board.path, live=True)
        outcome = ground.run(Program((Chunk(1, GREET),)), Limits(), None, None, given)
    os.close(into)
    os.close(source)
    assert (outcome.stdout, bytes(board.typed)) == ("name? hello Ann\n", b"Ann\n")


@pytest.mark.sandbox
@needs_sandbox
def test_the_end_of_what_is_typed_is_the_end_of_the_input() -> None:
    source, into = os.pipe()
    os.close(into)
    with Sandbox() as ground, forward_keyboard(source) as board:
        outcome = ground.run(
            Program((Chunk(1, GREET),)), Limits(), None, None, RunInputs(stdin=board.path, live=True)
        )
    os.close(source)
    assert "EOFError" in outcome.error


@pytest.mark.sandbox
@needs_sandbox
def test_waiting_for_somebody_who_types_does_not_count_and_a_loop_does() -> None:
    source, into = os.pipe()
    limits = replace(Limits(), seconds=0.3)
    slow = "import time\ntime.sleep(0.6)\nprint('done')"
    with Sandbox() as ground, forward_keyboard(source) as board:
        given = RunInputs(stdin=board.path, live=True)
        assert ground.run(Program((Chunk(1, slow),)), limits, None, None, given).stdout == "done\n"
        assert ground.run(Program((Chunk(1, slow),)), limits, None, None).limit == "seconds"
        assert ground.run(Program((Chunk(1, "while True: pass"),)), limits, None, None, given).limit == "cpu"
    os.close(into)
    os.close(source)


@pytest.mark.sandbox
@needs_sandbox
def test_later_turns_get_what_was_typed_again(tmp_path: Path) -> None:
    with Sandbox() as ground:
        console = console_in(tmp_path, Spoken(GREET, "print(len(name))"), runs=ground.resume)
        console.chat.sandbox = replace(console.chat.sandbox, run=ground.run)
        dispatch(console, "greet me")
        assert console.session.outcome is not None
        assert console.session.outcome.missing == "input"
        assert "turn 1 reads from the keyboard: what you type at /run is reused by later runs" in said(
            console
        )
        source, into = os.pipe()
        os.write(into, b"Ann\n")
        with forward_keyboard(source) as board:
            console.run_showing_output(keyboard=board)
        os.close(into)
        os.close(source)
        assert console.session.outcome.ok
        dispatch(console, "show its length")
    assert console.session.outcome.ok
    assert console.session.outcome.outputs[-1] == "3\n"


@pytest.mark.terminal
@needs_sandbox
@pytest.mark.parametrize(
    ("keys", "code", "sign"),
    [
        (f"Ann{ENTER}", 0, "hello Ann"),
        (CTRL_D, 1, "EOFError"),
        (CTRL_C, 130, "stopped"),
    ],
)
def test_in_a_terminal_a_program_is_typed_at(tmp_path: Path, keys: str, code: int, sign: str) -> None:
    (tmp_path / "game.py").write_text(GREET, encoding="utf-8")
    with terminal(["-m", "mtchat", "run", "game.py"], tmp_path) as screen:
        screen.wait("name? ")
        screen.send(keys)
        screen.wait(sign)
        assert screen.ended() == code


@pytest.mark.terminal
@needs_sandbox
def test_in_a_terminal_the_time_of_a_program_that_reads_nothing_is_limited(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text("import threading\nthreading.Event().wait()", encoding="utf-8")
    with terminal(["-m", "mtchat", "run", "idle.py", "--seconds", "0.5"], tmp_path) as screen:
        screen.wait("stopped after 0.5 s")
        assert screen.ended() == 1
