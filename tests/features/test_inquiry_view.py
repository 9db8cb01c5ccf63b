"""A question is answered below the conversation, from what is certain first, and is never a turn."""

from pathlib import Path

import pytest

from mtchat.console.console import Console, Leave
from mtchat.conversation.editing import without_turn
from mtchat.errors import ExitCode, UsageError
from mtchat.repl import app
from mtchat.repl.app import dispatch
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said
from tests.support.scripts import RUN_NOWHERE, needs_sandbox, played

WRAP = "import textwrap\nlines = textwrap.wrap('aa bb', 2)"
COSTS = "rows = [('groceries', 200), ('rent', 9), ('groceries', 35)]\ncosts = {'groceries': 235}"
WRITE = "with open('report.txt', 'w') as out:\n    out.write('all')"


def asked(folder: Path, code: str, question: str, *replies: str) -> tuple[Console, str]:
    """A console with a program that really ran, after a question, and what it said to that."""
    with Sandbox() as ground:
        console = console_in(
            folder, Spoken(code, *replies, readings={question: "question"}), runs=ground.resume
        )
        console.chat.sandbox = ground
        dispatch(console, "begin")
        before = len(said(console))
        path = console.session.path
        dispatch(console, question)
        assert console.session.path == path
        assert load(console.log.path).path == path
        return console, said(console)[before:]


@pytest.mark.sandbox
@needs_sandbox
@pytest.mark.parametrize(
    ("code", "question", "facts"),
    [
        (WRAP, "what does wrap return?", ["lines = textwrap.wrap('aa bb', 2)", "Wrap a"]),
        (WRAP, "what is lines?", ["`lines` is a list with 2 items: ['aa', 'bb']", "Turn 1 sets `lines`"]),
        (WRITE, "where is the report?", ["one.files/report.txt is a file that the program wrote"]),
        (COSTS, "what is groceries?", ["('groceries', 200)", "('groceries', 35)", "is 235"]),
        ("x = 1", "how do i save this program", ["/save"]),
        ("x = 1", "how can i undo the last step?", ["/undo [N]: Undoes the last turn"]),
    ],
)
def test_what_the_run_and_the_program_know_is_the_answer(
    tmp_path: Path, code: str, question: str, facts: list[str]
) -> None:
    _, told = asked(tmp_path, code, question, "My words are these.")
    text = " ".join(told.split())
    assert [fact for fact in facts if fact not in text] == []
    assert "≈ My words are these." in text
    assert "by the model and may be wrong" in text
    assert "answering a question (Ctrl-T makes it a new step)" in text


@pytest.mark.sandbox
@needs_sandbox
def test_no_code_of_the_model_runs_to_answer(tmp_path: Path) -> None:
    reply = "```python\nprint(sum(prices) / len(prices))\n```"
    _, told = asked(tmp_path, "prices = [2, 4, 9]", "what is the average of all prices?", reply)
    assert "their mean 5" in " ".join(told.split())
    assert "print(sum" not in told


def test_a_command_answers_whatever_looks_like_a_step(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "It holds one."))
    dispatch(console, "define x")
    dispatch(console, "/ask x")
    assert "≈ It holds one." in said(console)
    assert len(console.session.turns) == 1
    with pytest.raises(UsageError, match="the question is empty"):
        dispatch(console, "/ask")


def test_a_question_before_there_is_a_program_is_no_turn(tmp_path: Path) -> None:
    console = console_in(
        tmp_path, Spoken("I write Python step by step.", readings={"what can you do?": "question"})
    )
    dispatch(console, "what can you do?")
    assert console.session.turns == ()
    assert "≈ I write Python step by step." in said(console)


@pytest.mark.parametrize("word", ["exit", "bye", "quit", "Exit", "quit()", "q"])
def test_a_word_that_leaves_other_prompts_leaves(tmp_path: Path, word: str) -> None:
    with pytest.raises(Leave):
        dispatch(console_in(tmp_path), word)


@pytest.mark.parametrize("word", ["help", "?", "help()"])
def test_a_word_that_asks_for_help_gets_it(tmp_path: Path, word: str) -> None:
    console = console_in(tmp_path)
    dispatch(console, word)
    assert "/undo [N]" in said(console)
    assert console.session.turns == ()


def test_clear_empties_the_screen_and_is_no_turn(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    console.view.live = True
    dispatch(console, "clear")
    assert said(console).endswith("\x1b[H\x1b[2J")
    assert console.session.turns == ()


def test_a_step_is_dropped_and_the_later_ones_keep_their_code(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "y = 2", "print(x)"))
    for text in ("define x", "define y", "print x"):
        dispatch(console, text)
    end = console.session.head
    dispatch(console, "delete step 2")
    assert [turn.chunk for turn in load(console.log.path).path] == ["x = 1", "print(x)"]
    assert "dropped: define y" in said(console)
    dispatch(console, "/goto before-drop-2")
    assert console.session.head == end


def test_dropping_a_step_says_what_uses_it(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "print(x)"))
    dispatch(console, "define x")
    dispatch(console, "print x")
    dispatch(console, "/drop 1")
    assert "turn 2 uses `x` from it" in said(console)


def test_the_last_step_is_dropped_too() -> None:
    session = Session().extend((Turn("a", "x = 1"), Turn("b", "y = 1")))
    assert [turn.chunk for turn in without_turn(session, 2).path] == ["x = 1"]


@pytest.mark.parametrize("text", ["delete row 5", "delete step 5 of the list", "drop the column", "remove x"])
def test_only_a_step_by_its_number_is_dropped(text: str) -> None:
    assert app.step_to_drop(text) == ""


def test_a_script_answers_a_question_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["set", "what does set return?", "/next show"]
    code, told = played(
        tmp_path,
        words,
        box=RUN_NOWHERE,
        replies={"what does set return?": "It returns a set."},
        readings={"what does set return?": "question"},
    )
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "x = 6\nprint('noise')\n\nprint(x * 7)\n"
    assert "≈ It returns a set." in told
    assert told.count("answering a question (/as step makes it a new step)") == 1
    assert len(load(tmp_path / "played.jsonl").turns) == 2
