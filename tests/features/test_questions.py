"""Questions about the program: told from instructions, and never a turn."""

import json
from pathlib import Path

import pytest

from mtchat.features.explain.questions import asks_about_program
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import load
from tests import CASES, SESSIONS
from tests.support.consoles import Spoken, console_in, said
from tests.support.repl import say, session
from tests.support.terminal import Terminal

CORRECTIONS = CASES / "corrections"
TURNS = (Turn("set total", "total = 5"), Turn("define mean", "def mean(a):\n    return sum(a) / len(a)"))
WORKS = Session().extend((*TURNS, Turn("show it", "print(total)"))).with_outcome(Outcome())


@pytest.mark.parametrize(
    "text",
    [
        "what does this do?",
        "What does this code do",
        "how does it work?",
        "what does turn 2 do?",
        "what does line 2 of turn 2 do?",
        "what does line 1 do?",
        "what does mean do?",
        "how does `mean()` work?",
        "explain this",
        "can you explain turn 1 to me?",
        "why?",
        "why is it 5?",
        "why is total 5?",
        "why doesn't it print 6?",
        "what went wrong?",
        "what's this?",
        "what’s this doing?",
        "whats wrong?",
        "what is wrong with it?",
        "what is wrong with my code",
        "what's wrong with this?",
        "what happened?",
        "what happens here?",
        "what does my code do?",
        "what does my program do",
        "what does the mean function do?",
        "what does the function mean do?",
        "explain the function mean",
        "what does the variable total do?",
        "explain again",
        "explain please",
        "please explain",
        "explain my code",
        "explain what this does",
        "explain what total does",
        "explain how it works",
        "can you explain what this does",
        "tell me what this does",
        "tell me how it works",
        "why don't I see any output?",
        "why does it print 5?",
        "why did you use a list?",
        "why does it stop when it is 5?",
        "why is the output empty?",
    ],
)
def test_a_question_about_the_program_is_one(text: str) -> None:
    assert asks_about_program(text, WORKS)


@pytest.mark.parametrize(
    "text",
    [
        "what is 3 + 4? print it",
        "what is 3 + 4?",
        "what is the sum of the list?",
        "what is total?",
        "what does mean([1, 2]) return?",
        "what does it print?",
        "how many words are there?",
        "how do I sort the list?",
        "what does median do?",
        "why not use a set?",
        "why don't you print it?",
        "why is it 5? it should be 6",
        "why is it 5, it should be 6",
        "explain the steps in a docstring",
        "print why it fails",
        "can you print the total?",
        "does it work?",
        "why is it so slow make it faster",
        "why are there duplicates remove them",
        "why is the output unsorted i wanted it sorted",
        "why isn't it sorted please sort it",
        "why does it print 5 it must print 6",
        "why does it say hello it should say goodbye",
        "why do you not print the total",
        "why wouldn't you use a set",
        "why couldn't we use a while loop",
        "why won't you add a plot",
        "why don’t you sort it",
        "why can't it be sorted",
        "why cannot it be sorted",
        "why shouldn't it be sorted",
        "why is the list unsorted sort the list",
        "why does it print the list print the sum",
        "why is it 5 print 6",
        "explain the code in comments",
        "explain the median function",
        "explain what it prints",
        "tell me what total is",
        "tell me the total",
        "what's the total?",
        "what is wrong with median?",
        "what happens when total is 0",
    ],
)
def test_what_can_be_an_instruction_is_none(text: str) -> None:
    assert not asks_about_program(text, WORKS)


def test_before_there_is_a_program_nothing_is_a_question_about_it() -> None:
    assert not asks_about_program("what does this do?", Session())


def test_no_step_no_correction_and_no_instruction_of_a_session_is_taken_for_a_question() -> None:
    cases = [
        json.loads(line) for file in CORRECTIONS.glob("*.jsonl") for line in file.read_text().splitlines()
    ]
    turns = [turn for file in SESSIONS.glob("*.jsonl") for turn in load(file).turns]
    texts = [each["say"] for each in cases] + [turn.instruction for turn in turns]
    assert len(texts) > 250
    assert [text for text in texts if asks_about_program(text, WORKS)] == []


def test_a_question_is_answered_and_the_program_is_as_it_was(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "It sets x."))
    dispatch(console, "define x")
    dispatch(console, "what does this do?")
    assert "this looks like a question, so it does not change the program" in said(console)
    assert "to make it a step: /next what does this do?" in said(console)
    assert "≈ It sets x." in said(console)
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]


def test_on_a_terminal_a_question_makes_no_turn(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "print x", "2› ")
    text = say(screen, "what does this do?", "to make it a step")
    assert "this looks like a question" in text
    say(screen, "define x", "3› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["print x", "define x"]
