"""The recorded sessions: recorded code in, recorded outcome out; and what each of them is there to show."""

from pathlib import Path

import pytest

from mtchat.cli.replay import differences
from mtchat.core.session import Session
from mtchat.core.settings import Limits
from mtchat.sandbox import sandbox
from mtchat.store import load, read

SESSIONS = sorted((Path(__file__).parent.parent / "sessions").glob("*.jsonl"))
needs_sandbox = pytest.mark.skipif(not sandbox.probe().ok, reason=f"no sandbox: {sandbox.probe().reason}")


def names(path: Path) -> str:
    return path.stem


def test_there_are_at_least_five() -> None:
    assert len(SESSIONS) >= 5


@pytest.mark.parametrize("path", SESSIONS, ids=names)
def test_a_session_is_whole_and_was_written_by_the_starter(path: Path) -> None:
    reading = read(path)
    assert reading.notices == ()
    made = [turn.making for turn in reading.session.path if turn.making.model]
    assert made
    assert {making.model for making in made} == {"starter"}
    assert all(making.fingerprint for making in made)


@needs_sandbox
@pytest.mark.sandbox
@pytest.mark.parametrize("path", SESSIONS, ids=names)
def test_a_session_does_what_it_did_when_it_was_recorded(path: Path) -> None:
    session = load(path)
    assert session.outcome is not None
    assert session.outcome.ok
    assert list(differences(session.outcome, sandbox.run(session.program, Limits(seconds=120)))) == []


@needs_sandbox
@pytest.mark.sandbox
def test_the_story_of_linear_regression_ends_in_a_plot_of_points_and_a_line(tmp_path: Path) -> None:
    session = load(next(path for path in SESSIONS if path.stem == "linear-regression"))
    assert len(session.path) == 3
    outcome = sandbox.run(session.program, Limits(seconds=120), collect=tmp_path)
    assert "oefficient" in outcome.stdout
    figure = tmp_path / "figure-1.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert ".scatter(" in session.program.source
    assert ".plot(" in session.program.source


def recorded(name: str) -> Session:
    return load(next(path for path in SESSIONS if path.stem == name))


def test_the_session_of_branches_has_two_that_are_named_and_went_their_own_ways() -> None:
    session = recorded("branches")
    ends = {name: session.get(end).instruction for name, end in session.branches.items()}
    assert ends == {
        "average": "Print how many temperatures are above the average",
        "highest": "Print the highest of temperatures",
    }
    assert session.branch == "average"


def test_the_session_of_candidates_keeps_every_try_and_a_picked_one_is_live() -> None:
    session = recorded("candidates")
    tries = session.children(session.path[-1].parent)
    assert len(tries) >= 4
    assert session.head != tries[0].id
    assert all(turn.id in session.outcomes for turn in tries)


def test_the_session_of_a_question_has_the_answer_with_its_turn() -> None:
    assert [turn.meant for turn in recorded("question").path if turn.meant] == ["prints 40"]
