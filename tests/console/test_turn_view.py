"""What is shown of a turn while it is made: of tries that all fail one, the best, and how many others."""

import io
from dataclasses import replace

from mtchat.console.turn_view import TurnView
from mtchat.console.view import View
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CandidateProgress,
    CandidatesStarted,
    ChunkChange,
    CorrectionFinished,
    CorrectionStarted,
    NamesReplaced,
    RepairStarted,
    RunFinished,
    TurnWritten,
)
from mtchat.session.outcome import Outcome, ReplacedName
from mtchat.session.provenance import Correction, Repair, Rewrite
from mtchat.session.session import Session
from mtchat.session.turn import Turn

FAILS = Outcome(finished=False, error="turn 1, line 1: ValueError: no")
FURTHER = Outcome(finished=False, error="turn 1, line 2: ValueError: no")
FIRST = Turn("do it", "first()")
OTHER = Turn("do it", "other()")
MENDED = Turn("do it", "mended()\nfirst()", provenance=Repair(of=FIRST.id))


def of(turn: Turn, outcome: Outcome | None = None) -> Session:
    session = Session().add(turn)
    return session.with_outcome(outcome) if outcome else session


def shown(*events) -> list[str]:
    view = View(io.StringIO(), live=False, color=False)
    show = TurnView(view)
    for event in events:
        show(event)
    return view.out.getvalue().splitlines()


def test_the_best_of_tries_that_fail_is_shown_last_and_the_others_are_counted():
    begun = [
        TurnWritten(of(FIRST), FIRST),
        RunFinished(FAILS, 1),
        CandidateChosen(of(OTHER, FAILS), OTHER, FAILS, 4),
    ]
    mended = [RepairStarted(1, 1, 1, FAILS.error), TurnWritten(of(MENDED), MENDED), RunFinished(FURTHER, 1)]
    assert shown(
        *begun, *mended, AttemptsExhausted(of(MENDED, FURTHER), frozenset({FIRST.chunk, OTHER.chunk}))
    ) == [
        "first()",
        f"✗ {FAILS.error}",
        "the best attempt, which is still wrong:",
        "mended()",
        "first()",
        f"✗ {FURTHER.error}",
        "2 other attempts fail, too",
    ]


def test_where_the_first_try_is_the_best_it_is_not_shown_again():
    events = [
        TurnWritten(of(FIRST), FIRST),
        RunFinished(FAILS, 1),
        RepairStarted(1, 1, 1, FAILS.error),
        TurnWritten(of(MENDED), MENDED),
    ]
    ended = [RunFinished(FAILS, 1), AttemptsExhausted(of(FIRST, FAILS), frozenset({MENDED.chunk}))]
    assert shown(*events, *ended) == ["first()", f"✗ {FAILS.error}", "another attempt fails, too"]


def test_where_a_mending_runs_and_is_not_kept_that_is_said_and_the_live_code_shown():
    tried = [
        TurnWritten(of(FIRST), FIRST),
        RunFinished(FAILS, 1),
        RepairStarted(1, 1, 1, FAILS.error),
        TurnWritten(of(MENDED), MENDED),
    ]
    ended = [
        RunFinished(Outcome(), 1),
        AttemptsExhausted(of(FIRST, FAILS), discarded=frozenset({MENDED.chunk})),
    ]
    lines = shown(*tried, *ended)
    assert lines[2:5] == ["fixing turn 1, attempt 1 of 1", "mended()", "first()"]
    assert lines[-3:] == [
        "the fix runs but drops part of the request, so it was discarded; current code:",
        "first()",
        f"✗ {FAILS.error}",
    ]


def test_what_a_try_prints_that_is_not_shown_is_not_known():
    show = TurnView(
        View(io.StringIO(), live=False, color=False), beside=True, since=1, known_outputs=("1\n",)
    )
    show(TurnWritten(of(FIRST), FIRST))
    show(RunFinished(replace(FAILS, outputs=("2\n",)), 1))
    assert show.known_outputs == ("2\n",)
    show(CandidateChosen(of(OTHER), OTHER, replace(FAILS, outputs=("3\n",)), 4))
    assert show.known_outputs == ("2\n",)


def test_a_rewritten_program_is_shown_whole_with_what_each_turn_prints():
    session = Session().extend(
        (
            Turn("show 1", "print(1)", provenance=Rewrite(steps=(1, 1))),
            Turn("show 2", "print(2)", provenance=Rewrite(steps=(2, 2))),
        )
    )
    ran = Outcome(stdout="1\n2\n", outputs=("1\n", "2\n"))
    lines = shown(CandidateChosen(session, session.path[-1], ran, 1))
    assert lines[:4] == ["the whole program, rewritten, works better:", "print(1)", "", "print(2)"]
    assert [line for line in lines[4:] if line.startswith("│")] == ["│ 1", "│ 2"]


def test_values_that_a_rewrite_changes_are_named():
    old = Session().extend((Turn("set both", "a = 1\nb = 2"),))
    old = old.with_outcome(Outcome(state=("a: int 1", "b: int 2", "f(x): function")))
    old = old.extend((Turn("divide", "c = a / 0"),))
    made = Rewrite(of=old.head, steps=(1, 1))
    new = replace(old, head="").extend((Turn("set both", "a = 1\nb = 3", provenance=made),))
    new = new.extend((Turn("divide", "c = a / b", provenance=replace(made, steps=(2, 2))),))
    ran = Outcome(state=("a: int 1", "b: int 3", "f(x): function", "c: float 0.3"))
    lines = shown(CandidateChosen(new.with_outcome(ran), new.path[-1], ran, 1))
    assert "other values than before: b; /undo takes the rewrite back" in lines
    same = replace(ran, state=("a: int 1", "b: int 2"))
    lines = shown(CandidateChosen(new.with_outcome(same), new.path[-1], same, 1))
    assert not [line for line in lines if "other values" in line]


def test_a_few_of_the_names_that_a_turn_replaces_are_shown():
    names = tuple(ReplacedName(2, name, 1, "a function") for name in "fghi")
    lines = shown(NamesReplaced(of(FIRST), names))
    assert lines == [f"turn 2 replaces `{name}`, which turn 1 defined as a function" for name in "fgh"]


def test_each_round_of_a_mending_that_was_asked_for_is_shown():
    round_of = [TurnWritten(of(MENDED), MENDED), RunFinished(FAILS, 1)]
    lines = shown(
        RepairStarted(1, 2, 1, FAILS.error), *round_of, RepairStarted(2, 2, 1, FAILS.error), *round_of
    )
    assert lines.count("mended()") == 2
    assert lines.count("fixing turn 1, attempt 2 of 2") == 1


def test_weighing_shows_how_far_it_is_and_what_stops_it():
    view = View(io.StringIO(), live=True, color=False)
    show = TurnView(view)
    show(CandidateProgress(2, 0, 6, pieces=214))
    show(CandidateProgress(6, 4, 6))
    text = view.out.getvalue()
    assert "comparing candidates: 2 of 6 written, 214 tokens… Ctrl-C keeps the first" in text
    assert "comparing candidates: 6 of 6 written, 4 run… Ctrl-C keeps the first" in text


def test_another_candidate_for_a_change_is_named_and_its_changes_and_its_run_are_shown_once():
    changed = Turn("do it\ndo that", "other()", provenance=Correction(of=FIRST.id))
    lines = shown(
        CorrectionStarted(1, "do it"),
        CandidateChosen(of(changed), changed, FAILS, 7),
        CorrectionFinished(of(changed), (ChunkChange(1, FIRST.chunk, changed.chunk),)),
        RunFinished(FAILS, 1),
    )
    assert lines[:2] == ["changing turn 1: do it", "another of the 7 candidates for the change is better"]
    assert [line for line in lines if "other()" in line] == ["+ other()"]
    assert lines.count(f"✗ {FAILS.error}") == 1


def test_comparing_candidates_for_a_change_says_so():
    view = View(io.StringIO(), live=True, color=False)
    show = TurnView(view)
    show(CorrectionStarted(1, "do it"))
    show(CandidatesStarted(7, 1))
    assert "comparing 7 candidates for the change… Ctrl-C keeps the first" in view.out.getvalue()
