"""The recorded sessions: recorded code in, recorded outcome out; and what each of them is there to show."""

from pathlib import Path

import pytest

from mtchat.cli.replay import run_differences
from mtchat.sandbox.host import execute
from mtchat.session.session import Session
from mtchat.session.settings import Limits
from mtchat.session.turn import FOLDED, FORGOTTEN, WHOLE
from mtchat.store import load, read
from tests import SESSIONS
from tests.support.scripts import needs_sandbox

RECORDED = sorted(SESSIONS.glob("*.jsonl"))


def names(path: Path) -> str:
    return path.stem


def test_there_are_at_least_five() -> None:
    assert len(RECORDED) >= 5


@pytest.mark.parametrize("path", RECORDED, ids=names)
def test_a_session_is_whole_and_was_written_by_the_starter(path: Path) -> None:
    reading = read(path)
    assert reading.notices == ()
    made = [turn.provenance for turn in reading.session.turns if turn.provenance.model]
    assert made
    assert {provenance.model for provenance in made} == {"starter"}
    assert all(provenance.fingerprint for provenance in made)


@needs_sandbox
@pytest.mark.sandbox
@pytest.mark.parametrize("path", RECORDED, ids=names)
def test_a_session_does_what_it_did_when_it_was_recorded(path: Path) -> None:
    session = load(path)
    assert session.outcome is not None
    assert session.outcome.ok
    assert list(run_differences(session.outcome, execute.run(session.program, Limits(seconds=120)))) == []


@needs_sandbox
@pytest.mark.sandbox
def test_the_story_of_linear_regression_ends_in_a_plot_of_points_and_a_line(tmp_path: Path) -> None:
    session = load(next(path for path in RECORDED if path.stem == "linear-regression"))
    assert len(session.path) == 3
    outcome = execute.run(session.program, Limits(seconds=120), collect=tmp_path)
    assert "oefficient" in outcome.stdout
    figure = tmp_path / "figure-1.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert ".scatter(" in session.program.source
    assert ".plot(" in session.program.source


def recorded(name: str) -> Session:
    return load(next(path for path in RECORDED if path.stem == name))


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


def test_the_session_of_an_edit_has_the_old_program_beside_the_one_that_was_derived() -> None:
    session = recorded("edit")
    assert "scores" not in session.program.source
    assert session.outcome is not None
    assert session.outcome.stdout == "[60, 70]\n4\n"
    old = session.path_to(session.branches["before-edit-1"])
    assert [turn.instruction for turn in old][1:] == [turn.instruction for turn in session.path][1:]


def test_the_session_of_corrections_is_one_clean_source() -> None:
    session = recorded("corrections")
    assert session.program.source.count("def ") == 1
    assert "count_letter" not in session.program.source
    assert session.path[0].instruction.split("\n")[1:] == [
        "make it case-insensitive",
        "rename count_letter to occurrences",
    ]


def test_the_session_of_checks_keeps_what_must_hold_and_what_was_referred_to() -> None:
    session = recorded("checks")
    assert session.options_of(session.turn_at(2).id).checks == ("total == 43",)
    assert session.path[-1].typed == "Print the same as {out 3} with the words The total is before it"
    assert "43" in session.path[-1].instruction
    assert session.outcome is not None
    assert [finding.passed for finding in session.outcome.check_results] == [True]


def test_the_session_of_a_context_has_a_folded_and_a_forgotten_turn_that_its_last_turns_record() -> None:
    session = recorded("context")
    assert [session.options_of(turn.id).context for turn in session.path] == [FOLDED, FORGOTTEN, WHOLE, WHOLE]
    assert (session.path[-1].provenance.context.folded, session.path[-1].provenance.context.forgotten) == (
        (1,),
        (2,),
    )


def test_the_session_of_a_refactoring_does_the_same_in_fewer_lines() -> None:
    session = recorded("refactor")
    new = session.path[-1]
    old = session.get(new.replaces)
    assert "use sum and a generator" in new.provenance.wish
    assert len(new.chunk.split("\n")) < len(old.chunk.split("\n"))
