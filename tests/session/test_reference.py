"""What an instruction refers to in braces, and the braces that are the user's own."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.errors import MtchatError
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Frame, Outcome
from mtchat.session.program import CheckResult, Location
from mtchat.session.reference import MOST, resolve_references
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said

RAN = Outcome(stdout="one\ntwo\n", outputs=("one\n", "two\n"))
FAILED = Outcome(
    exit_code=1,
    finished=False,
    stdout="one\n",
    outputs=("one\n", ""),
    error="turn 2, line 1: NameError: name 'y' is not defined",
    frames=(Frame(Location(2, 1), "<module>", "print(y)"),),
)
BARE = Session().extend((Turn("a", "x = 1"), Turn("b", "print(y)\nprint(2)")))
SESSION = BARE.with_outcome(RAN)
FAILING = BARE.with_outcome(FAILED)
ERROR = "turn 2, line 1: NameError: name 'y' is not defined, at: print(y)"


@pytest.mark.parametrize(
    ("session", "typed", "text"),
    [
        (SESSION, "sort {run} now", "sort one\ntwo now"),
        (SESSION, "use {out 1} and {out 2}", "use one and two"),
        (SESSION, "do as in {code 1}", "do as in x = 1"),
        (SESSION, "mend {CODE 2}", "mend print(y)\nprint(2)"),
        (FAILING, "mend {err}", f"mend {ERROR}"),
        (FAILING, "mend {err 2}", f"mend {ERROR}"),
        (FAILING, "it printed {out 1}", "it printed one"),
        (SESSION, "{run}{run}", "one\ntwoone\ntwo"),
    ],
)
def test_a_reference_is_replaced_in_what_the_model_sees(session: Session, typed: str, text: str):
    said = resolve_references(typed, session)
    assert said.text == text
    assert said.typed == typed


@pytest.mark.parametrize(
    "typed",
    [
        "print f'{x}'",
        "print {x} and {run_time}",
        "make the dict {'run': 1, 'err': 2}",
        "make {1, 2} and {}",
        'print f"{run} and {err}"',
        "print(f'it is {err}')",
        "the set {code}",
        "the set {out}",
        "{err x}",
        "{run 3}",
        "{ run }",
    ],
)
def test_all_other_braces_are_the_users_own(typed: str):
    assert resolve_references(typed, BARE).text == typed
    assert resolve_references(typed, BARE).typed == ""


def test_doubled_braces_say_the_word_itself():
    assert (
        resolve_references("a template with {{run}} and {{x}}", SESSION).text
        == "a template with {run} and {{x}}"
    )


@pytest.mark.parametrize(
    ("session", "typed", "problem"),
    [
        (SESSION, "{code 9}", "no turn 9; the program has 2 turns"),
        (SESSION, "{err 0}", "no turn 0"),
        (SESSION, "{err}", "the program's last run had no error"),
        (SESSION, "{err 1}", "the last run of turn 1 had no error"),
        (BARE, "{run}", "nothing has run yet"),
        (BARE, "{err}", "it has not run yet; /run runs it"),
        (BARE, "{out 1}", "it has not run; /run runs it"),
        (BARE.with_outcome(Outcome(outputs=("", ""))), "{run}", "it printed nothing"),
        (BARE.with_outcome(Outcome(outputs=("", ""))), "{out 2}", "turn 2 printed, but it printed nothing"),
        (Session().extend((Turn("a", ""),)), "{code 1}", "it has none"),
    ],
)
def test_a_reference_to_nothing_is_an_error_that_says_so(session: Session, typed: str, problem: str):
    with pytest.raises(MtchatError, match=problem):
        resolve_references(typed, session)


def test_a_long_text_is_cut_in_the_middle_with_a_mark():
    long = "".join(f"line {number}\n" for number in range(5000))
    text = resolve_references("{run}", BARE.with_outcome(replace(RAN, stdout=long))).text
    assert text.startswith("line 0\n")
    assert text.endswith("line 4999")
    assert f"[{len(long) - 1 - MOST} characters left out]" in text
    assert len(text) < MOST + 50


def test_an_error_can_be_a_check_that_fails():
    broken = replace(RAN, check_results=(CheckResult(1, "x == 2", False, "x is 1"),))
    assert (
        resolve_references("{err}", BARE.with_outcome(broken)).text == "after turn 1, x must be 2, but x is 1"
    )


def test_the_turn_has_the_text_and_is_shown_as_it_was_typed(tmp_path: Path):
    model = Spoken("x = 1", "raise ValueError", "x = 2", "x = 3")
    console = console_in(tmp_path, model)
    dispatch(console, "set x")
    dispatch(console, "go on")
    dispatch(console, "mend {err} as in {code 1}")
    wish = "mend turn 2, line 1: ValueError: no as in x = 1"
    assert wish in model.asked[-1][0].messages[-1].content
    turn = load(console.log.path).path[-1]
    assert (turn.instruction, turn.typed) == (wish, "mend {err} as in {code 1}")
    assert turn.id == console.session.head
    dispatch(console, "/show")
    assert "3› mend {err} as in {code 1}" in said(console)
    dispatch(console, "/retry")
    assert console.session.path[-1].typed == turn.typed
    assert console.session.path[-1].instruction == wish
    dispatch(console, "/undo")
    assert "undone: mend {err} as in {code 1}" in said(console)


def test_the_context_and_an_edit_resolve_references_too(tmp_path: Path):
    console = console_in(tmp_path, Spoken("x = 1", "y = 1"))
    dispatch(console, "set x")
    dispatch(console, "/context do {code 1} again")
    assert "do x = 1 again" in said(console)
    dispatch(console, "/edit 1 write {code 1} with another name")
    assert console.session.path[0].instruction == "write x = 1 with another name"
    assert console.session.path[0].instruction_as_typed == "write {code 1} with another name"


def test_a_reference_to_nothing_asks_the_model_nothing(tmp_path: Path):
    model = Spoken("x = 1")
    console = console_in(tmp_path, model)
    with pytest.raises(MtchatError, match="no turn 3"):
        dispatch(console, "do {code 3}")
    assert not model.asked
    assert isinstance(console.view.out, io.StringIO)


def test_turns_without_references_keep_their_ids():
    assert Turn("a", "x = 1").id == replace(Turn("a", "x = 1"), typed="").id
    assert Turn("a", "x = 1", typed="{run}").id != Turn("a", "x = 1").id
    assert Turn("a", "x", typed="b").id != Turn("a", "x", meant="b").id
