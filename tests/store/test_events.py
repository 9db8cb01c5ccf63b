"""Events are what changed: applied in order they give back the session, whatever it went through."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.session.outcome import File, Frame, Outcome, Reason, ReplacedName
from mtchat.session.program import AttachedFile, Location
from mtchat.session.prompt import Usage
from mtchat.session.provenance import Step
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import FOLDED, FORGOTTEN, STATUSES, WHOLE, Turn, TurnOptions
from mtchat.store.events import (
    KEPT,
    History,
    apply_event,
    as_read_back,
    limit_streams,
    list_changes,
    outcome_fields,
    outcome_of,
    to_event,
    to_line,
)
from mtchat.store.values import rebuild

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    ["\ud83d\ude00", "\r\n\0\u2028\x85", "\ufeff#", "x = 1\r"]
)
NUMBER = st.floats(allow_nan=False) | st.integers(-3, 3)
MAKING = st.builds(
    Step,
    model=ANY_TEXT,
    sampling=st.builds(Sampling.from_record, temperature=NUMBER, seed=st.integers(0, 2**63)),
    error=ANY_TEXT,
)
TURN = st.builds(
    Turn,
    ANY_TEXT,
    ANY_TEXT,
    status=st.sampled_from(STATUSES),
    provenance=MAKING,
    usage=st.builds(Usage, prompt_tokens=st.integers(0), decode_seconds=NUMBER, finish=ANY_TEXT),
    meant=ANY_TEXT,
)
FRAME = st.builds(Frame, st.builds(Location, st.integers(0), st.integers(1)), ANY_TEXT, ANY_TEXT)
OUTCOME = st.builds(
    Outcome,
    exit_code=st.none() | st.integers(),
    signal=st.none() | st.integers(),
    finished=st.booleans(),
    stdout=ANY_TEXT,
    outputs=st.lists(ANY_TEXT, max_size=2).map(tuple),
    error=ANY_TEXT,
    frames=st.lists(FRAME, max_size=2).map(tuple),
    files=st.lists(st.builds(File, ANY_TEXT, st.integers(0)), max_size=2).map(tuple),
    seconds=NUMBER,
    replaced_names=st.lists(
        st.builds(ReplacedName, st.integers(1), ANY_TEXT, st.none() | st.integers(0), ANY_TEXT, ANY_TEXT),
        max_size=2,
    ).map(tuple),
)

MARK = st.builds(
    TurnOptions, st.lists(ANY_TEXT, max_size=2).map(tuple), st.sampled_from([WHOLE, FOLDED, FORGOTTEN])
)
STEPS = ("add", "add", "undo", "redo", "move", "outcome", "preamble", "attach", "mark", "branch")
ATTACHED = st.builds(AttachedFile, ANY_TEXT, ANY_TEXT.map(Path), st.integers(0), ANY_TEXT)


@st.composite
def histories(draw: st.DrawFn) -> list[Session]:
    """Sessions, each some steps after the one before it."""
    session = Session(preamble=draw(ANY_TEXT))
    found = [session]
    for _ in range(draw(st.integers(0, 12))):
        match draw(st.sampled_from(STEPS)):
            case "add":
                session = session.extend((draw(TURN),))
            case "undo" if session.path:
                session = session.undo(draw(st.integers(1, len(session.path))))
            case "redo" if session.head in session.visited:
                session = session.redo()
            case "move":
                session = session.move(draw(st.sampled_from(["", *session.by_id])))
            case "outcome":
                session = session.with_outcome(draw(OUTCOME))
            case "preamble":
                session = replace(session, preamble=draw(ANY_TEXT))
            case "mark" if session.path:
                session = session.with_options(session.head, draw(MARK))
            case "branch":
                session = session.name_branch(draw(ANY_TEXT))
            case "attach":
                session = replace(session, attached=tuple(draw(st.lists(ATTACHED, max_size=2))))
        found.append(session)
    return found


@pytest.mark.slow
@given(sessions=histories(), steps=st.integers(1, 5))
def test_the_changes_of_a_session_applied_in_order_give_it_back(sessions, steps):
    history, before = History(replace(sessions[0])), sessions[0]
    for after in [*sessions[::steps], sessions[-1]]:
        for event in list_changes(before, after):
            history = apply_event(history, to_event(to_line(event)))
            assert not history.edited
        before = after
    assert history.session == sessions[-1]
    assert [turn.id for turn in history.session.turns] == [turn.id for turn in sessions[-1].turns]


def test_nothing_changed_is_no_event():
    session = Session().extend((Turn("do", "x = 1"),)).with_outcome(Outcome())
    assert list_changes(session, session) == []


def test_a_new_turn_is_one_event_and_carries_the_head_with_it():
    before = Session().extend((Turn("do", "x = 1"),))
    after = before.extend((Turn("go on", "y = 2"),))
    assert [event["event"] for event in list_changes(before, after)] == ["turn"]


def test_an_undo_is_a_move_of_the_head_with_its_reason():
    session = Session().extend((Turn("do", "x = 1"),))
    assert list_changes(session, session.undo(), "undo") == [{"event": "head", "to": "", "why": "undo"}]


def test_a_session_of_another_file_is_a_bug_and_not_an_event():
    session = Session().extend((Turn("do", "x = 1"),))
    with pytest.raises(ValueError, match="belongs to another file"):
        list_changes(session, Session())


def test_an_event_of_an_unknown_kind_changes_nothing():
    history = History(Session().extend((Turn("do", "x = 1"),)))
    assert apply_event(history, {"event": "weather", "path": "data.csv"}).session == history.session


def test_fields_that_are_unknown_are_ignored_and_absent_ones_take_their_defaults():
    event = json.loads('{"instruction": "do", "chunk": "x", "mood": 1, "making": {"model": "m", "luck": 2}}')
    assert rebuild(Turn, event) == Turn("do", "x", provenance=Step(model="m"))


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"event": "turn", "id": "1", "instruction": "do"}, "chunk"),
        ({"event": "turn", "instruction": "do", "chunk": ""}, "id is missing or not text"),
        ({"event": "turn", "id": "1", "instruction": "do", "chunk": 3}, "chunk is 3, not str"),
        ({"event": "turn", "id": "1", "instruction": "", "chunk": "", "making": 1}, "not a JSON object"),
        ({"event": "turn", "id": "1", "instruction": "", "chunk": "", "parent": "2"}, "no turn '2' before"),
        ({"event": "head", "to": "gone"}, "no turn 'gone' before this line"),
        ({"event": "head", "to": "", "visited": []}, "visited is not a JSON object"),
        ({"event": "outcome", "of": "gone"}, "no turn 'gone'"),
        ({"event": "outcome", "of": "", "outputs": "x"}, "outputs is not a list"),
        ({"event": "outcome", "of": "", "finished": 1}, "finished is 1, not bool"),
        ({"event": "outcome", "of": "", "exit_code": True}, "exit_code is True, not int"),
        ({"event": "preamble"}, "preamble is missing"),
        ({"event": "attach", "path": "data.csv"}, "files is missing or not a list"),
        ({"event": "attach", "files": [{"name": "x", "path": 1}]}, "path is 1, not str"),
    ],
)
def test_an_event_that_does_not_fit_says_what_is_wrong(event, problem):
    with pytest.raises((ValueError, TypeError), match=problem):
        apply_event(History(), event)


def test_a_long_output_is_kept_up_to_a_bound_and_said_to_be_cut():
    long = Outcome(stdout="a" * KEPT + "b" * KEPT, stderr="c", outputs=("a" * KEPT, "b" * KEPT))
    kept = limit_streams(long)
    assert kept == Outcome(stdout="a" * KEPT, stderr="c", outputs=("a" * KEPT, ""), truncated=True)
    assert limit_streams(kept) is kept


def test_a_turn_edited_in_the_file_is_found_and_its_children_stay_below_it():
    session = Session().extend((Turn("one", "x = 1"), Turn("two", "y = 2"))).with_outcome(Outcome(stdout="2"))
    first, second, outcome = (to_event(to_line(event)) for event in list_changes(Session(), session))
    history = apply_event(History(), {**first, "chunk": "x = 11"})
    assert history.edited
    history = apply_event(history, second)
    assert not history.edited
    history = apply_event(history, outcome)
    assert [turn.chunk for turn in history.session.path] == ["x = 11", "y = 2"]
    assert history.session.outcome == Outcome(stdout="2")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"limit": "seconds", "world": ""}, Reason.SECONDS),
        ({"limit": "", "world": "file"}, Reason.FILE),
        ({"limit": "", "world": ""}, Reason.NONE),
        ({"limit": "patience", "world": ""}, Reason.OTHER),
        ({"error": "turn 1: OSError: x (the sandbox has no network)"}, Reason.NETWORK),
    ],
)
def test_the_reason_of_an_outcome_is_read_from_the_keys_that_files_have(
    fields: dict[str, str], reason: Reason
) -> None:
    assert outcome_of({"event": "outcome", **fields}).reason is reason


@pytest.mark.parametrize("reason", list(Reason))
def test_the_reason_of_an_outcome_is_written_under_the_keys_that_files_have(reason: Reason) -> None:
    fields = outcome_fields(Outcome(reason=reason))
    assert "reason" not in fields
    assert {fields["limit"], fields["world"]} == {"", reason.value}
    assert outcome_of(as_read_back({"event": "outcome", **fields})).reason is reason
