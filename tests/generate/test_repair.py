"""How a failing program is repaired; the model is a table and the run a function."""

import traceback
from dataclasses import replace
from itertools import groupby

import pytest

from mtchat.errors import MtchatError
from mtchat.generate.events import (
    CodeWritten,
    Event,
    PrefillFinished,
    RepairStarted,
    RunFinished,
    RunStarted,
    TurnWritten,
)
from mtchat.generate.improve import take
from mtchat.generate.repair import fix
from mtchat.session.outcome import Frame, Outcome, Reason
from mtchat.session.program import Location, Program
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import COMPLETE, KEPT
from tests.support.generate import (
    CTRL_C,
    GREEDY,
    ScriptedModel,
    chunks,
    run,
    scripted_generator,
    statuses,
    taken,
)


def kinds(events: list[Event]) -> list[type]:
    """The kinds of events, each row of the same kind once."""
    return [kind for kind, _ in groupby(type(event) for event in events)]


FAILS = "total = 1 / 0\nprint(total)\n"

FURTHER = "total = 1\nprint(total)\nother = 1 / 0\n"

MENDED = "total = 1\nprint(total)\n"


def deep(program: Program) -> Outcome:
    """As `run`, with all frames of an error."""
    outcome = run(program)
    if outcome.ok:
        return outcome
    names: dict[str, object] = {}
    try:
        for chunk in program.chunks:
            exec(compile(chunk.code, f"<{chunk.turn}>", "exec"), names)
    except Exception as error:
        found = [each for each in traceback.extract_tb(error.__traceback__) if each.filename[0] == "<"]
        frames = [Frame(Location(int(each.filename[1:-1]), each.lineno or 1), each.name) for each in found]
        outcome = replace(outcome, frames=tuple(frames))
    return outcome


def test_a_failing_turn_is_mended_in_one_round():
    model = ScriptedModel([FAILS, MENDED])
    generator = scripted_generator(complete=model)
    failing = taken(generator, "add up")
    fixed = fix(generator, failing, GREEDY)
    assert (fixed.rounds, fixed.reason) == (1, "the program runs")
    (turn,) = fixed.session.path
    assert turn.chunk == MENDED.rstrip()
    assert turn.instruction == "add up"
    assert turn.replaces == failing.head
    assert turn.provenance.error == "turn 1, line 1: ZeroDivisionError: division by zero"
    assert fixed.session.outcome.ok
    assert "ZeroDivisionError" in model.contexts[-1]
    assert failing.path[0].chunk in model.contexts[-1]


def test_a_question_asked_again_is_asked_warmer_and_from_another_seed():
    model = ScriptedModel([FAILS, FAILS, "total = 2 / 0\nprint(total)\n", MENDED])
    generator = scripted_generator(complete=model)
    fixed = fix(generator, taken(generator, "add up"), GREEDY)
    assert (fixed.rounds, fixed.reason) == (3, "the program runs")
    samplings = [sampling for _, sampling in model.asked[1:]]
    assert samplings[0] == GREEDY
    assert all(sampling.temperature > 0 for sampling in samplings[1:])
    assert len({sampling.seed for sampling in samplings}) == 3


def test_a_program_that_gets_further_is_kept_and_its_new_error_is_asked_about():
    model = ScriptedModel([FAILS, FURTHER, MENDED + "other = 1\n"])
    generator = scripted_generator(complete=model)
    fixed = fix(generator, taken(generator, "add up"), GREEDY)
    assert (fixed.rounds, fixed.session.outcome.ok) == (2, True)
    assert "line 3: ZeroDivisionError" in model.contexts[-1]
    assert model.asked[-1][1] == GREEDY


def test_after_three_rounds_in_vain_the_program_is_as_it_was():
    generator = scripted_generator(FAILS, *(f"total = {number} / 0\nprint(total)\n" for number in (2, 3, 4)))
    failing = taken(generator, "add up")
    fixed = fix(generator, failing, GREEDY)
    assert (fixed.rounds, fixed.reason) == (3, "still failing after 3 rounds")
    assert fixed.session.head == failing.head
    assert fixed.session.outcome == failing.outcome
    assert not generator.complete.replies


def test_mending_ends_where_the_model_writes_the_same_code_again():
    generator = scripted_generator(FAILS, FAILS, FAILS, FAILS)
    fixed = fix(generator, taken(generator, "add up"), GREEDY)
    assert (fixed.rounds, fixed.reason) == (2, "the model writes the same code for turn 1 again")
    assert generator.complete.replies == [FAILS]


def test_the_turn_that_has_the_failing_function_is_mended_and_not_the_one_that_calls_it():
    define, call, mended = "def f(x):\n    return x / 0\n", "print(f(1))\n", "def f(x):\n    return x\n"
    generator = scripted_generator(define, call, mended, run=deep)
    failing = taken(generator, "make f", "show f(1)")
    assert failing.outcome.turn == 2
    fixed = fix(generator, failing, GREEDY)
    assert (fixed.rounds, fixed.reason) == (1, "the program runs")
    assert [turn.chunk for turn in fixed.session.path] == [mended.rstrip(), call.rstrip()]


def test_where_mending_the_function_does_not_help_the_turn_that_calls_it_is_mended():
    define, call, mended = "def f(x):\n    return 1 / x\n", "print(f(0))\n", "print(f(1))\n"
    generator = scripted_generator(define, call, define, mended, run=deep)
    fixed = fix(generator, taken(generator, "make f", "show f"), GREEDY)
    assert (fixed.rounds, fixed.reason) == (2, "the program runs")
    assert [turn.chunk for turn in fixed.session.path] == [define.rstrip(), mended.rstrip()]


def test_what_the_world_kept_from_a_program_is_not_mended():
    def run_without_files(program):
        return Outcome("none", 1, error="turn 1, line 1: FileNotFoundError: a.csv", reason=Reason.FILE)

    generator = scripted_generator(FAILS, MENDED)
    failing = take(replace(generator, run=run_without_files), Session(), "read a.csv", GREEDY)
    with pytest.raises(MtchatError, match="different code would not help: turn 1"):
        fix(generator, failing, GREEDY)
    assert generator.complete.replies == [MENDED]


def test_every_try_stays_in_the_tree_beside_the_turn_it_was_to_mend():
    generator = scripted_generator(FAILS, "total = 2 / 0\nprint(total)\n", "print(0)\n", MENDED)
    fixed = fix(generator, taken(generator, "add up"), GREEDY)
    assert len(fixed.session.children(ROOT)) == 4
    assert all(turn.id in fixed.session.outcomes for turn in fixed.session.turns)


@pytest.mark.parametrize(
    "loss",
    [
        "print(0)\n",  # the name
        "total = 0\n",  # the print
        "pass\n",  # all of it
        "\n",  # all of it
        "total = (\nprint(total)\n",  # being Python
    ],
)
def test_a_chunk_that_gives_up_what_it_did_is_no_mending(loss: str):
    generator = scripted_generator(FAILS, loss, loss, loss)
    failing = taken(generator, "add up")
    fixed = fix(generator, failing, GREEDY)
    assert fixed.session.head == failing.head
    assert fixed.reason == "the model writes the same code for turn 1 again"


def test_a_mending_that_makes_another_turn_fail_earlier_is_not_kept():
    generator = scripted_generator(
        "x = 1\n", "y = x / 0\n", "print(y)\n", "raise ValueError\ny = 1\n", "y = 1\n"
    )
    failing = taken(generator, "set x", "divide", "print it")
    fixed = fix(generator, failing, GREEDY)
    assert chunks(fixed.session) == ["x = 1", "y = 1", "print(y)"]
    assert fixed.rounds == 2


DIVIDING = ("def f(x):\n    return 6 / x\n", "print(f(2))\n", "print(f(0))\n")
OTHERWISE = "def f(x):\n    return 0 if x else 1\n"


def test_a_repair_that_keeps_what_other_turns_print_is_preferred():
    caller = "print(f(1))\n"
    generator = scripted_generator(*DIVIDING, OTHERWISE, caller, run=deep)
    failing = taken(generator, "make f", "show f of 2", "show f of 0")
    fixed = fix(generator, failing, GREEDY)
    assert chunks(fixed.session) == [each.rstrip() for each in (*DIVIDING[:2], caller)]
    assert (fixed.rounds, fixed.reason) == (2, "the program runs")


def test_a_repair_that_changes_what_another_turn_prints_is_kept_if_no_other_gets_as_far():
    generator = scripted_generator(*DIVIDING, OTHERWISE, DIVIDING[2], run=deep)
    failing = taken(generator, "make f", "show f of 2", "show f of 0")
    fixed = fix(generator, failing, GREEDY, rounds=2)
    assert chunks(fixed.session) == [each.rstrip() for each in (OTHERWISE, *DIVIDING[1:])]
    assert fixed.reason == "the program runs, but not as before: look at turn 2"
    assert fixed.session.outcome.stdout == "0\n1\n"


def test_a_turn_in_the_middle_is_mended_and_the_turns_after_it_keep_their_code():
    events: list[Event] = []
    model = ScriptedModel(["x = 1\n", "y = x / 0\n", "print(y)\n", "y = x / 2\n"])
    generator = scripted_generator(complete=model, on_event=events.append)
    failing = taken(generator, "set x", "divide", "print it")
    fixed = fix(generator, failing, GREEDY)
    assert chunks(fixed.session) == ["x = 1", "y = x / 2", "print(y)"]
    assert statuses(fixed.session) == [COMPLETE, COMPLETE, KEPT]
    assert fixed.session.path[1].replaces == failing.path[1].id
    assert "print(y)" not in model.contexts[-1]
    assert fixed.session.outcome.stdout == "0.5\n"


def test_an_error_without_a_place_is_the_last_turns():
    late = Outcome(
        finished=False, reason=Reason.SECONDS, error="turn 2: stopped after 30 s", outputs=("", "")
    )
    outcomes = [Outcome(), late, Outcome(outputs=("", "1\n"))]
    generator = scripted_generator(
        "x = 1\n", "while x: print(x)\n", "print(x)\n", run=lambda program: outcomes.pop(0)
    )
    fixed = fix(generator, taken(generator, "set x", "print it"), GREEDY)
    assert chunks(fixed.session) == ["x = 1", "print(x)"]


def test_a_program_that_is_stopped_where_another_fails_has_not_got_further():
    """A preamble's output is no turn's: with it, two turns have three outputs."""
    fails = Outcome(finished=False, error="turn 2, line 2: E", frames=(Frame(Location(2, 2), "<module>"),))
    stopped = Outcome(finished=False, reason=Reason.SECONDS, error="turn 2: stopped", outputs=("", "", ""))
    outcomes = [Outcome(), fails, stopped]
    generator = scripted_generator("x = 1\n", "y = 2\n", "y = 3\n", run=lambda program: outcomes.pop(0))
    failing = taken(generator, "set x", "set y", session=Session(preamble="import os"))
    assert fix(generator, failing, GREEDY, rounds=1).session.head == failing.head


@pytest.mark.parametrize("reply", [CTRL_C, f"total = 1\n{CTRL_C}"])
def test_an_interrupt_in_the_midst_of_mending_keeps_the_best_program(reply: str):
    generator = scripted_generator(FAILS, FURTHER, reply)
    fixed = fix(generator, taken(generator, "add up"), GREEDY)
    assert (fixed.rounds, fixed.reason) == (2, "interrupted")
    assert chunks(fixed.session) == [FURTHER.rstrip()]


def test_a_run_interrupted_in_the_midst_of_mending_keeps_the_best_program():
    stopped = Outcome(reason=Reason.INTERRUPTED, finished=False, error="interrupted")
    generator = scripted_generator(FAILS, MENDED)
    failing = taken(generator, "add up")
    fixed = fix(replace(generator, run=lambda program: stopped), failing, GREEDY)
    assert (fixed.session.head, fixed.reason) == (failing.head, "interrupted")


def test_mending_tells_its_events_in_order():
    events: list[Event] = []
    generator = scripted_generator(FAILS, FAILS, MENDED)
    failing = taken(generator, "add up")
    fix(replace(generator, on_event=events.append), failing, GREEDY)
    assert (
        kinds(events)
        == [RepairStarted, PrefillFinished, CodeWritten, TurnWritten, RunStarted, RunFinished] * 2
    )
    error = "turn 1, line 1: ZeroDivisionError: division by zero"
    assert [event for event in events if isinstance(event, RepairStarted)] == [
        RepairStarted(1, 3, 1, error),
        RepairStarted(2, 3, 1, error),
    ]


def test_a_program_that_has_not_run_is_run_before_it_is_mended():
    generator = scripted_generator(FAILS, MENDED)
    session = taken(replace(generator, run=None), "add up")
    assert fix(generator, session, GREEDY).reason == "the program runs"


def test_a_program_whose_run_was_interrupted_is_run_again_before_it_is_mended():
    generator = scripted_generator(FAILS, MENDED)
    stopped = Outcome(reason=Reason.INTERRUPTED, finished=False, error="interrupted")
    session = taken(replace(generator, run=lambda program: stopped), "add up")
    assert fix(generator, session, GREEDY).reason == "the program runs"
    with pytest.raises(MtchatError, match="has not finished a run yet"):
        fix(replace(generator, run=lambda program: stopped), session, GREEDY)


@pytest.mark.parametrize(
    ("replies", "changes", "reason"),
    [
        (["x = 1\n"], {}, "runs without an error"),
        ([FAILS], {"run": None}, "nothing can be repaired because programs are not run here"),
        ([f"x = 1\n{CTRL_C}"], {}, "has not finished a run yet"),
    ],
    ids=["it runs", "it cannot be run", "it was interrupted"],
)
def test_where_nothing_is_to_be_mended_it_says_so(replies: list[str], changes: dict, reason: str):
    generator = scripted_generator(*replies, **changes)
    session = taken(generator, "add up")
    with pytest.raises(MtchatError, match=reason):
        fix(generator, session, GREEDY)


def test_an_empty_program_has_nothing_to_mend():
    with pytest.raises(MtchatError, match="has not finished a run yet"):
        fix(scripted_generator(), Session(), GREEDY)


def test_a_failing_preamble_is_not_a_turns_to_mend():
    generator = scripted_generator("x = 1\n")
    session = take(generator, Session(preamble="1 / 0"), "set x", GREEDY)
    with pytest.raises(MtchatError, match="the preamble fails: preamble, line 1: ZeroDivisionError"):
        fix(generator, session, GREEDY)
