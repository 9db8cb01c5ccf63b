"""What helps a learner, as it is seen in a terminal: with a model from a table, and once with a real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.session.turn import Turn
from mtchat.store import Log, load
from tests.support.repl import REPL, say, session
from tests.support.scripts import needs_sandbox
from tests.support.starter import needs_small
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, Terminal, terminal

pytestmark = pytest.mark.terminal


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with terminal([str(REPL), str(tmp_path)], tmp_path) as screen:
        screen.wait("1› ")
        yield screen


def test_a_turn_is_explained_under_its_lines(screen: Terminal) -> None:
    say(screen, "print x", "2› ")
    text = say(screen, "/explain", "/explain 1:LINE says more").partition("/explain")[2]
    assert "1› print x\nprint(x)\n  Shows `x`.\nIt printed:\n│ 1\n" in text


def test_a_failing_turn_says_that_it_can_be_explained(screen: Terminal, tmp_path: Path) -> None:
    say(screen, "fail", "/explain says why in plain words, /fix asks the model to repair it")
    text = say(screen, "/explain", "/edit 1 changes the instruction of turn 1")
    assert "The program stops in turn 1, line 1:\n  raise ValueError('no')\n" in text
    assert "That means: The value has the right type, but it is not acceptable here." in text
    assert len(session(tmp_path).turns) == 1


def test_a_question_is_answered_at_a_prompt_of_its_own_and_ctrl_c_leaves_it(
    screen: Terminal, tmp_path: Path
) -> None:
    say(screen, "print x", "2› ")
    say(screen, "/tutor ask", "your answer› ")
    say(screen, "1", "✓ right: turn 1 prints 1")
    say(screen, "/tutor ask", lambda text: text.count("your answer›") == 2)
    screen.send(CTRL_C)
    screen.wait("not counted, because you gave no answer")
    say(screen, "define x", "3› ")
    assert len(session(tmp_path).path) == 2


def test_a_turn_whose_finished_code_fails_gets_no_tick(screen: Terminal) -> None:
    say(screen, "fail", "2› ")
    say(screen, "stub", "3› ")
    text = say(screen, "/complete", "turn 2 is complete, but the program fails")
    assert "✓" not in text


def test_arguments_of_the_tutor_complete(screen: Terminal) -> None:
    screen.send("/tutor a")
    screen.wait("asks you what the program does")


@pytest.mark.model
@pytest.mark.sandbox
@needs_small
@needs_sandbox
def test_a_real_model_explains_and_ctrl_c_stops_it_and_the_program_is_as_it_was(tmp_path: Path) -> None:
    code = "prices = {'pear': 2, 'fig': 1}\nbest = max(prices, key=prices.get)\nprint(best.upper())"
    with Log.open(tmp_path / "shop.jsonl") as log:
        log.write(log.session.add(Turn("show the dearest fruit", code)))
    words = ["-m", "mtchat", "--sessions", str(tmp_path), "--model", "starter-small", "shop"]
    with terminal(words, tmp_path) as screen:
        screen.wait("2› ", 30)
        screen.send("/explain 1:2" + ENTER)
        screen.wait("After the turn `prices` is {'fig': 1, 'pear': 2} (a dict with 2 items).", 60)
        text = screen.wait("/explain 1 explains the whole turn", 60)
        assert "\n  ≈ " in text
        screen.send("/explain" + ENTER)
        screen.wait(lambda text: "after the turn `prices` is" in text, 60)
        screen.send(CTRL_C)
        screen.wait("stopped; now at turn 1", 60)
        screen.send(CTRL_D)
        assert screen.ended(30) == 0
    assert [turn.chunk for turn in load(tmp_path / "shop.jsonl").turns] == [code]
