"""The question before code is run: what runs, what does not, and what is done instead."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mtchat.console.console import Console
from mtchat.conversation.interfaces import OnOutput
from mtchat.errors import UsageError
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.settings import Limits
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said
from tests.support.fake_repl import Fake, run
from tests.support.repl import say, session, started
from tests.support.terminal import CTRL_C, ENTER, Terminal


class Asked:
    """A console that asks before code runs, with the answers it gets and the programs that ran."""

    def __init__(self, folder: Path, *answers: str, model: Fake | None = None) -> None:
        self.answers, self.ran = list(answers), []
        self.console: Console = console_in(folder, model, runs=self.run)
        self.console.questions.confirm = self.confirm
        dispatch(self.console, "/set run ask")

    def confirm(self, label: str) -> str:
        assert label == "[Enter run, e edit, r retry, u undo, a auto] "
        answer = self.answers.pop(0)
        if answer == CTRL_C:
            raise KeyboardInterrupt
        return answer

    def run(
        self,
        program: Program,
        limits: Limits,
        place: Path | None,
        on_output: OnOutput,
        given: RunInputs,
        look: bool = False,
    ) -> Outcome:
        self.ran.append([chunk.code for chunk in program.chunks])
        return run(program, limits, place, on_output, given, look)

    def take(self, *lines: str) -> None:
        for line in lines:
            dispatch(self.console, line)

    @property
    def chunks(self) -> list[str]:
        return [turn.chunk for turn in load(self.console.log.path).path]


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Asked]:
    return lambda *answers, model=None: Asked(tmp_path, *answers, model=model)


def test_enter_runs_the_code(asked: Callable[..., Asked]):
    one = asked("")
    one.take("define x")
    assert one.ran == [["x = 1"]]
    assert one.chunks == ["x = 1"]


def test_an_interrupt_runs_nothing_and_keeps_the_turn(asked: Callable[..., Asked]):
    one = asked(CTRL_C)
    one.take("define x")
    assert one.ran == []
    assert one.chunks == ["x = 1"]
    assert one.console.session.outcome is None
    assert "not run; /run runs it" in said(one.console)
    one.take("/run")
    assert one.ran == [["x = 1"]]


def test_undo_in_place_of_a_run_takes_the_turn_back(asked: Callable[..., Asked]):
    one = asked("", "u")
    one.take("define x", "fail")
    assert one.ran == [["x = 1"]]
    assert one.chunks == ["x = 1"]
    assert "now at turn 1: define x" in said(one.console)
    one.take("/redo")
    assert one.chunks == ["x = 1", "raise ValueError('no')"]


def test_undo_after_an_edit_goes_back_to_what_was_there(asked: Callable[..., Asked]):
    one = asked("", "", "u")
    one.take("define x", "print x", "/edit 1 talk")
    assert one.chunks == ["x = 1", "print(x)"]
    assert len(one.ran) == 2


def test_retry_in_place_of_a_run_asks_the_model_again(asked: Callable[..., Asked]):
    one = asked("r", "", model=Spoken("x = 1", "x = 2"))
    one.take("set it")
    assert one.ran == [["x = 2"]]
    assert one.chunks == ["x = 2"]


def test_edit_in_place_of_a_run_changes_the_instruction(asked: Callable[..., Asked]):
    one = asked("e", "")
    one.console.edit_line = lambda label, text: f"{text} and print x"
    one.take("define x")
    assert one.ran == [["print(x)"]]
    assert [turn.instruction for turn in one.console.session.path] == ["define x and print x"]


def test_what_is_no_answer_is_explained_and_asked_again(asked: Callable[..., Asked]):
    one = asked("y", "a 0", "a five", "run", "e 3", "")
    one.take("define x")
    assert said(one.console).count("Enter runs the code") == 5
    assert len(one.ran) == 1


def test_auto_with_a_number_approves_so_many_turns_more(asked: Callable[..., Asked]):
    one = asked("a 2", CTRL_C)
    one.take("define x", "print x", "print x", "print x")
    assert len(one.ran) == 3
    assert "this turn and the next 2 run without confirmation" in said(one.console)


def test_auto_runs_all_from_now_on_until_ask_is_set_again(asked: Callable[..., Asked]):
    one = asked("A", CTRL_C)
    one.take("define x", "print x")
    assert one.console.chat.settings.run == "on"
    one.take("/set run ask", "print x")
    assert len(one.ran) == 2


def test_no_candidate_runs_that_nobody_saw(asked: Callable[..., Asked]):
    one = asked("")
    one.take("/set policy best", "flaky")
    assert one.ran == [["raise ValueError('no')"]]


def test_a_fix_asks_before_each_run_and_no_ends_it(asked: Callable[..., Asked]):
    one = asked("", CTRL_C)
    one.take("fail", "/fix")
    assert len(one.ran) == 1
    assert "fix ended after round 1: interrupted; the program is unchanged" in said(one.console)
    assert one.chunks == ["raise ValueError('no')"]


def test_a_fix_goes_on_where_the_run_is_approved(asked: Callable[..., Asked]):
    one = asked("", "")
    one.take("fail", "/fix")
    assert one.ran[1:] == [["z = 3"]]
    assert one.chunks == ["z = 3"]


def test_a_failing_turn_that_was_approved_offers_the_fix(asked: Callable[..., Asked]):
    one = asked("")
    one.take("fail")
    assert "/fix asks the model to repair it" in said(one.console)


def test_tries_beside_a_turn_are_not_run_where_the_user_is_asked(asked: Callable[..., Asked]):
    one = asked("", "")
    one.take("/set n 3", "flaky")
    assert one.ran == [["raise ValueError('no')"]]
    assert "Comparing candidates runs them without asking" in said(one.console)


def test_rewritten_code_is_not_run_unasked(asked: Callable[..., Asked]):
    one = asked("")
    one.take("define x")
    with pytest.raises(UsageError, match="/set run on allows that"):
        one.take("/refactor 1")
    assert len(one.ran) == 1


def test_a_recap_is_compared_without_a_run_where_the_user_is_asked(asked: Callable[..., Asked]):
    one = asked("", "")
    one.take("define x", "print x", "/recap new")
    assert len(one.ran) == 2
    assert one.chunks == ["print(x)"]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with started(tmp_path) as screen:
        screen.wait("1› ")
        say(screen, "/set run ask", "run is ask")
        yield screen


def test_on_a_terminal_the_code_waits_for_enter(screen: Terminal, tmp_path: Path):
    text = say(screen, "define x", "[Enter run, e edit, r retry, u undo, a auto]")
    assert "x = 1" in text
    assert "✓" not in text
    screen.send(ENTER)
    screen.wait("✓ ran in 0.1 s")
    screen.wait("\n2› ")  # the outcome is saved before the next prompt
    assert session(tmp_path).outcome is not None


def test_on_a_terminal_ctrl_c_runs_nothing_and_the_prompt_comes_back(screen: Terminal, tmp_path: Path):
    say(screen, "define x", "a auto]")
    screen.send(CTRL_C)
    text = screen.wait("\n2› ")
    assert "not run; /run runs it" in text
    assert session(tmp_path).outcome is None
    say(screen, "/undo", "now at the start")


def test_an_enter_typed_before_the_question_is_no_answer(screen: Terminal, tmp_path: Path):
    screen.send("briefly" + ENTER)
    screen.wait("line_3")
    screen.send(ENTER + ENTER)
    screen.wait("a auto]")
    screen.send("u" + ENTER)
    screen.wait("now at the start")
    assert session(tmp_path).outcomes == {}
