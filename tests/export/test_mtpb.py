"""A session as a problem of the multi-turn benchmark, read back and scored by the suite itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.bench.quality.suite import MULTI, SINGLE, Score
from mtchat.bench.quality.suites import mtpb
from mtchat.errors import MtchatError
from mtchat.export import format
from mtchat.export.formats.mtpb import parse_value, write
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.session import Session
from mtchat.session.turn import Turn, TurnOptions
from tests.support.consoles import console_in, said

PASSES = Score(True, True)


def session(*chunks: str, check: str = "") -> Session:
    path = tuple(Turn(f"do step {at}", chunk) for at, chunk in enumerate(chunks, start=1))
    made = Session(name="mine").extend(path)
    return made.with_options(made.head, TurnOptions((check,))) if check else made


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        ("print(x * 7)", 42),
        ("print(x / 4)", 1.5),
        ("print([x, (x, 1)])", [6, [6, 1]]),
        ("print(x > 3)", True),
        ("print(f'x is {x}')", "x is 6"),
        ("print(str([x]))", "[6]"),
        ("text = repr([x])\nprint(text)", "[6]"),
        ("print({'x': x})", "{'x': 6}"),
        ("print({x})", "{6}"),
        ("print('noise')\nprint(x)", 6),
        ("for n in range(3):\n    print(n)", 2),
        ("print('one\\ntwo')", "one\ntwo"),
        ("import numpy as np\nprint(np.array([x, 1]))", "[6 1]"),
        ("print(None)", "None"),
        ("print(float('inf'))", "inf"),
        ("print(x, end='')", 6),
    ],
)
def test_the_program_of_the_session_passes_the_problem_that_it_gives(
    tmp_path: Path, boxed: Callable[[Program], Outcome], last: str, wanted: object
):
    made = session("x = 6", last)
    made = made.with_outcome(boxed(made.program))
    path = format.export_session(made, "mtpb", tmp_path / "mine.jsonl")
    (task,) = mtpb.tasks(path, MULTI)
    assert task.facts == wanted
    assert type(task.facts) is type(wanted)
    assert task.instructions == ("do step 1", "do step 2")
    assert mtpb.score(task, [turn.chunk for turn in made.path], boxed) == PASSES
    assert not mtpb.score(task, ["x = 7", "print('something', 'else')"], boxed).strict
    assert len(mtpb.tasks(path, SINGLE)) == 1


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("check", "asked", "wanted", "shows"),
    [
        ("x == 6", "Print x.", 6, "print(x)"),
        ("name == 'Bob'", "Print name.", "Bob", "print(name)"),
        ("len(name) > 2", "Print len(name) > 2.", True, "print(len(name) > 2)"),
        ("name == str(name)", "Print name == str(name).", True, "print(name == str(name))"),
    ],
)
@pytest.mark.parametrize("last", ["name = 'Bob'", "name = 'Bob'\nprint('name:', name)"])
def test_where_the_last_turn_prints_no_one_value_the_last_check_is_asked_for(
    tmp_path: Path,
    boxed: Callable[[Program], Outcome],
    check: str,
    asked: str,
    wanted: object,
    shows: str,
    last: str,
):
    made = session("x = 6", last, check=check)
    made = made.with_outcome(boxed(made.program))
    (task,) = mtpb.tasks(format.export_session(made, "mtpb", tmp_path / "mine.jsonl"), MULTI)
    assert (task.instructions[-1], task.facts) == (asked, wanted)
    assert mtpb.score(task, ["x = 6", last, shows], boxed) == PASSES


def test_braces_and_other_signs_of_instructions_come_back_as_they_are(tmp_path: Path):
    wishes = ("make {'a': {1}} and f\"{x}\"", "print ü\nin two lines")
    made = Session(name="mine").extend((Turn(wishes[0], "x = 1"), Turn(wishes[1], "print(x)")))
    made = made.with_outcome(Outcome(outputs=("", "1\n")))
    (task,) = mtpb.tasks(format.export_session(made, "mtpb", tmp_path / "mine.jsonl"), MULTI)
    assert task.instructions == wishes


def test_a_preamble_is_the_first_thing_that_is_asked_for(tmp_path: Path):
    made = replace(session("print(t)"), preamble="t = {1: 2}[1]")
    made = made.with_outcome(Outcome(outputs=("", "2\n")))
    (task,) = mtpb.tasks(format.export_session(made, "mtpb", tmp_path / "mine.jsonl"), MULTI)
    assert task.instructions[0] == "Begin with this code:\nt = {1: 2}[1]"
    assert task.facts == 2


def test_a_problem_has_what_those_of_the_benchmark_have():
    made = session("print(1)").with_outcome(Outcome(outputs=("1\n",)))
    assert json.loads(write(made)) == {
        "prompts": ["do step 1"],
        "inputs": [{}],
        "outputs": [1],
        "max_gen_length": 256,
        "category": "session",
        "name": "mine",
        "description": "do step 1",
        "id": "mine",
    }


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (Session(), "needs turns"),
        (session("x = 1"), "needs a program that runs to its end"),
        (session("x = 1").with_outcome(Outcome(error="no", exit_code=1)), "runs to its end"),
        (session("x = 1").with_outcome(Outcome(outputs=("",))), "prints nothing; .* add a check"),
        (session("print(1, 2)").with_outcome(Outcome(outputs=("1 2\n",))), "several things at once"),
        (session("print(*[1, 2])").with_outcome(Outcome(outputs=("1 2\n",))), "several things at once"),
    ],
)
def test_a_session_that_does_not_say_what_comes_out_is_an_error(made: Session, problem: str):
    with pytest.raises(MtchatError, match=problem):
        write(made)


@pytest.mark.parametrize(
    ("text", "found"),
    [("1", 1), ("nan", "nan"), ("[nan]", "[nan]"), ("1e999", "1e999"), ("[" * 9999, "[" * 9999), ("-1", -1)],
)
def test_what_json_cannot_hold_is_compared_as_text(text: str, found: object):
    assert parse_value(text) == found


def test_the_repl_writes_it_under_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    console = console_in(tmp_path)
    dispatch(console, "define x")
    dispatch(console, "print x")
    dispatch(console, "/export mtpb")
    assert "wrote one.mtpb.jsonl" in said(console)
    assert json.loads((tmp_path / "one.mtpb.jsonl").read_text())["outputs"] == [1]


@pytest.mark.slow
@given(
    wishes=st.lists(st.text(max_size=20), min_size=1, max_size=3),
    chunk=st.text(max_size=20) | st.sampled_from(["print(x)", "print(x, y)", "x = 1"]),
    said=st.text(max_size=20),
)
def test_any_session_gives_a_problem_that_reads_back_or_an_error(wishes: list[str], chunk: str, said: str):
    made = Session(name="odd").extend(tuple(Turn(wish, chunk) for wish in wishes))
    made = made.with_outcome(Outcome(stdout=said, outputs=(*[""] * (len(wishes) - 1), said)))
    try:
        problem = json.loads(write(made))
    except MtchatError:
        return
    (task,) = mtpb.make_tasks(problem, MULTI)
    assert task.instructions == tuple(wishes)
    assert task.facts == problem["outputs"][0]
