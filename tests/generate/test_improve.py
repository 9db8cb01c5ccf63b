"""How a turn is made better than its first completion; the model is a table, the run happens right here."""

from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.errors import SandboxError
from mtchat.generate.alternatives import retry
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CandidateProgress,
    CandidatesStarted,
    Event,
    Notice,
    TurnWritten,
)
from mtchat.generate.improve import agreement, take
from mtchat.generate.policy import PLAIN, Policy
from mtchat.generate.prompt.families import instruct
from mtchat.generate.select import Candidate, choose
from mtchat.generate.turn import TurnGenerator
from mtchat.session.navigation import redo_steps, undo_steps
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Program
from mtchat.session.prompt import Usage
from mtchat.session.provenance import Rewrite, as_json
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, Turn, TurnOptions
from mtchat.store import Log, load
from tests.support.generate import (
    GREEDY_64,
    KeyedModel,
    ObservedGenerator,
    chunks,
    observed,
    run,
    run_with_variables,
)

SELECT = Policy(samples=3)


def test_a_plain_policy_asks_once_and_takes_what_comes():
    one = observed(PLAIN, set_x=["x = 1/0", "x = 1"])
    assert chunks(one.take("set x")) == ["x = 1/0"]
    assert len(one.model.asked) == 1


def test_what_most_candidates_do_is_taken_however_they_are_written():
    one = observed(SELECT, set_x=["x = 3", "x = 2", "x = 1 + 1", "x = 4"])
    session = one.take("set x")
    assert session.path[-1].chunk in ("x = 2", "x = 1 + 1")
    assert session.outcome is not None
    assert session.outcome.agreement == pytest.approx(0.5)
    assert (one.heard(CandidatesStarted), one.heard(CandidateChosen)) == (1, 1)


def test_weighing_tells_how_far_it_is():
    one = observed(SELECT, set_x=["x = 3", "x = 2", "x = 1 + 1", "x = 4"])
    one.take("set x")
    told = [event for event in one.events if isinstance(event, CandidateProgress)]
    assert [(each.written, each.pieces) for each in told if each.pieces] == [(0, 1), (1, 2), (2, 3)]
    assert [each.ran for each in told if not each.pieces] == [0, 1, 2, 3]


def test_one_that_fails_is_not_taken_though_most_do_the_same():
    one = observed(SELECT, show_x=["print(x)", "print(x)", "print(x)", "print(5)"])
    assert chunks(one.take("show x")) == ["print(5)"]


def test_comments_alone_are_not_taken_though_they_run():
    one = observed(SELECT, show_x=["print(x)", "# x is shown", "# x is shown", "print(y)"])
    assert chunks(one.take("show x")) == ["print(x)"]


def test_where_nothing_works_it_is_told_how_many_others_fail_beside_the_best():
    one = observed(Policy(samples=3, repair_rounds=1), show_x=["print(x)", "print(y)", "print(y)", "1/0"])
    session = one.take("show x")
    others = frozenset({"print(x)", "print(y)", "1/0"} - {session.path[-1].chunk})
    assert one.events[-1] == AttemptsExhausted(session, others)
    works = observed(
        Policy(samples=3, repair_rounds=1), show_x=["print(x)", "print(y)", "print(y)", "print(5)"]
    )
    works.take("show x")
    assert works.heard(AttemptsExhausted) == 0


def test_a_mending_that_runs_and_is_not_kept_is_no_try_that_fails():
    one = observed(Policy(repair_rounds=1), corrected=["x = 1"], show_x=["print(x)"])
    session = one.take("show x")
    assert chunks(session) == ["print(x)"]
    assert one.events[-1] == AttemptsExhausted(session, discarded=frozenset({"x = 1"}))


def test_a_mending_whose_run_is_stopped_is_no_try_that_fails():
    def stopped_at_two(program: Program) -> Outcome:
        outcome = run(program)
        return replace(outcome, reason=Reason.INTERRUPTED) if "2" in program.source else outcome

    one = observed(Policy(repair_rounds=1), corrected=["print(x, 2)"], show_x=["print(x)"])
    generator = TurnGenerator(
        instruct, one.model.complete, stopped_at_two, on_event=one.events.append, policy=one.policy
    )
    assert chunks(take(generator, Session(), "show x", GREEDY_64)) == ["print(x)"]
    assert one.heard(AttemptsExhausted) == 0


def test_one_whose_names_are_bound_nowhere_is_not_taken_though_it_runs():
    broken = "def f():\n    return missing"
    one = observed(SELECT, define_f=[broken, broken, broken, "def f():\n    return 1"])
    assert chunks(one.take("define f")) == ["def f():\n    return 1"]


def test_the_first_try_stays_where_it_is_as_good_and_is_not_told_again():
    one = observed(SELECT, set_x=["x = 1", "x = 1", "x = 1", "x = 2"])
    session = one.take("set x")
    assert chunks(session) == ["x = 1"]
    assert one.heard(CandidateChosen) == 0
    assert session.outcome is not None
    assert session.outcome.agreement == pytest.approx(0.75)


def test_the_draft_stays_in_the_tree_beside_what_was_chosen():
    one = observed(SELECT, set_x=["x = 3", "x = 2", "x = 2", "x = 2"])
    session = one.take("set x")
    assert [turn.chunk for turn in session.children("")] == ["x = 3", "x = 2"]


def test_a_chosen_turn_can_be_made_again_from_its_own_seed():
    one = observed(SELECT, set_x=["x = 3", "x = 7", "x = 2", "x = 2"])
    session = one.take("set x")
    assert session.path[-1].provenance.sampling.seed == 2
    generator = TurnGenerator(instruct, one.model.complete, policy=PLAIN)
    assert list(generator.verify(session)) == [None]


SURE = replace(SELECT, confidence_threshold=-0.2)


@pytest.mark.parametrize(
    ("doubt", "reply", "instruction", "weighs"),
    [
        (-0.2, "x = 1", "set x", False),
        (-0.05, "x = 1", "set x", True),
        (-0.2, "x = 1/0", "set x", True),
        (-0.2, "y = 1", 'set a variable "x"', True),
        (-0.2, "def g():\n    return nothing_such", "set x", True),
    ],
    ids=["likely", "unlikely", "fails", "misses a name", "uses an unknown name"],
)
def test_candidates_are_drawn_only_in_doubt(doubt: float, reply: str, instruction: str, weighs: bool):
    one = observed(replace(SELECT, confidence_threshold=doubt), set=[reply, "x = 1", "x = 1", "x = 1"])
    one.take(instruction)
    assert bool(one.heard(CandidatesStarted)) == weighs
    assert len(one.model.asked) == (4 if weighs else 1)


def test_an_interrupt_of_the_weighing_leaves_the_first_try():
    one = observed(SELECT, stops_at="set x", set_x=["x = 3", "x = 2"])
    session = one.take("set x")
    assert chunks(session) == ["x = 3"]
    assert session.outcome is not None


def test_an_example_in_the_instruction_decides():
    wish = "define f, where f(2) = 4"
    one = observed(
        replace(SURE), define_f=["def f(n):\n    return n + 1", *["def f(n):\n    return n * n"] * 3]
    )
    assert chunks(one.take(wish)) == ["def f(n):\n    return n * n"]


def test_made_up_checks_tell_functions_apart_that_else_look_the_same():
    square, double = "def f(n):\n    return n * n", "def f(n):\n    return n + n"
    asked = "define f"
    made_up = ["assert f(3) == 9\nassert f(4) == 16"]
    one = observed(
        Policy(samples=3, generated_tests=2),
        define_f=[double, double, square, square],
        assert_statements=made_up,
    )
    assert chunks(one.take(asked)) == [square]


AFRESH = Policy(rewrites=1)


def test_a_program_that_fails_is_written_afresh_from_all_instructions():
    replies = {"make_f": ["def f(n):\n    return n.no"], "show_f": ["print(f(2))"]}
    both = ["def f(n):\n    return n\n\nprint(f(2))"]
    one = ObservedGenerator(
        KeyedModel({"make f\nshow f": both, **{k.replace("_", " "): v for k, v in replies.items()}}), AFRESH
    )
    session = one.take("make f", "show f")
    assert chunks(session) == ["def f(n):\n    return n", "print(f(2))"]
    assert session.outcome is not None
    assert (session.outcome.ok, session.outcome.stdout) == (True, "2\n")
    assert isinstance(session.path[-1].provenance, Rewrite)
    assert session.path[-1].provenance.sampling.max_tokens == 128
    assert list(TurnGenerator(instruct, one.model.complete).verify(session)) == [None, None]


WRONG, RIGHT = "y = x.no", "x = 1\ny = x\nprint(y)"


def rewritten(right: str = RIGHT) -> tuple[ObservedGenerator, Session]:
    """A session of three turns whose second one failed, after the program was written again."""
    replies = {"set x": ["x = 1"], "set y": [WRONG], "show y": ["print(y)"]}
    wholes = {"set x\nset y": ["x = y = no"], "set x\nset y\nshow y": [right]}
    one = ObservedGenerator(KeyedModel({**replies, **wholes}), AFRESH)
    return one, one.take("set x", "set y", "show y")


def test_each_turn_has_its_part_of_a_program_that_was_written_afresh():
    one, session = rewritten()
    assert chunks(session) == ["x = 1", "y = x", "print(y)"]
    assert [turn.instruction for turn in session.path] == ["set x", "set y", "show y"]
    assert session.outcome is not None
    assert (session.outcome.ok, session.outcome.outputs) == (True, ("", "", "1\n"))
    assert WRONG in [turn.chunk for turn in session.turns]
    assert one.heard(Notice) == 0
    asked = len(one.model.asked)
    assert list(TurnGenerator(instruct, one.model.complete).verify(session)) == [None] * 3
    assert len(one.model.asked) == asked + 1


def test_turns_become_one_where_the_new_program_cannot_be_divided_and_that_is_said():
    whole = "print([y for y in [1]][0])"
    one, session = rewritten(whole)
    assert chunks(session) == [whole]
    assert session.path[0].instruction == "set x\nset y\nshow y"
    told = [event.text for event in one.events if isinstance(event, Notice)]
    assert told == ["the rewritten code does not keep all steps apart: turns 1 to 3 are now turn 1"]
    assert list(TurnGenerator(instruct, one.model.complete).verify(session)) == [None]
    assert chunks(undo_steps(session)[0]) == ["x = 1", WRONG]


def test_what_was_written_afresh_is_saved_with_all_its_turns(tmp_path: Path):
    _, session = rewritten()
    with Log(tmp_path / "new.jsonl") as log:
        log.write(session, "turn")
    saved = load(tmp_path / "new.jsonl")
    assert saved.path == session.path
    assert [turn.provenance.steps for turn in saved.path] == [(1, 1), (2, 2), (3, 3)]


def test_a_branch_and_checks_go_along_to_a_program_that_is_written_afresh():
    one, session = rewritten()
    before = session.move(session.get(session.path[-1].provenance.of).parent).name_branch("mine")
    before = before.with_options(before.path[0].id, TurnOptions(checks=("x == 1",)))
    again = one.take("show y", session=before)
    assert again.branches == {"mine": again.head}
    assert again.branch == "mine"
    assert [(check.turn, check.code) for check in again.checks] == [(1, "x == 1")]


def test_code_of_the_user_is_not_written_afresh():
    one = ObservedGenerator(KeyedModel({"set x": ["x = 1"], "show y": ["print(y)"]}), AFRESH)
    typed = Session().add(Turn("add my own code: z = 1", "z = 1", status=EDITED))
    assert chunks(one.take("set x", "show y", session=typed)) == ["z = 1", "x = 1", "print(y)"]


def test_a_turn_that_leaves_out_what_was_asked_for_is_written_afresh_too():
    replies = {"set k": ["k = 3"], "turn by k": ["x = [2, 1]"], "set k\nturn by k": ["k = 3\nx = [1] * k"]}
    assert chunks(ObservedGenerator(KeyedModel(replies), AFRESH).take("set k", "turn by k")) == [
        "k = 3",
        "x = [1] * k",
    ]


def test_what_is_written_afresh_and_fails_too_is_not_taken():
    one = ObservedGenerator(KeyedModel({"a\nb": ["1/0"], "a": ["x = 1"], "b": ["print(y)"]}), AFRESH)
    assert chunks(one.take("a", "b")) == ["x = 1", "print(y)"]


def test_the_first_turn_is_never_written_afresh():
    one = ObservedGenerator(KeyedModel({"a": ["1/0"]}), AFRESH)
    one.take("a")
    assert len(one.model.asked) == 1


BACK = Policy(samples=3, rewrites=4)


def looking_back(wholes: list[str]) -> Session:
    steps = {"set x": ["x = 1", "x = 2", "x = 2", "x = 5"], "print it": ["print(x)"] * 4}
    return ObservedGenerator(KeyedModel({"set x\nprint it": wholes, **steps}), BACK).take("set x", "print it")


def test_programs_that_agree_more_than_the_turns_did_take_their_place():
    session = looking_back(["x = 9\nprint(x)"] * 4)
    assert isinstance(session.path[-1].provenance, Rewrite)
    assert session.outcome is not None
    assert session.outcome.stdout.endswith("9\n")
    assert agreement(session) == 1


@pytest.mark.parametrize(
    "wholes",
    [
        ["x = 9\nprint(x)", "x = 8\nprint(x)", "x = 7\nprint(x)", "x = 6\nprint(x)"],
        ["x = 9"] * 4,
        ["x = 9\nprint(y)"] * 4,
        ["x = 2\nprint(x)"] * 4,
    ],
    ids=["agree less", "show nothing", "fail", "say the same"],
)
def test_turns_stay_where_programs_written_at_once_say_no_better(wholes: list[str]):
    session = looking_back(wholes)
    assert chunks(session) == ["x = 2", "print(x)"]
    assert agreement(session) == pytest.approx(0.5)


@pytest.mark.parametrize(("said", "kept"), [("start", True), ("other", False)])
def test_a_rewritten_program_must_print_what_earlier_turns_printed(said: str, kept: bool) -> None:
    whole = f"x = 9\nprint('{said}')\nprint(x)"
    steps = {
        "set x": ["x = 1\nprint('start')", *["x = 2\nprint('start')"] * 2, "x = 5\nprint('start')"],
        "print it": ["print(x)"] * 4,
    }
    wholes = {"set x\nprint it": [whole] * 4}
    session = ObservedGenerator(KeyedModel(wholes | steps), BACK).take("show start, set x", "print it")
    assert isinstance(session.path[-1].provenance, Rewrite) is kept


def test_taking_a_program_written_afresh_back_leads_to_the_turns_as_they_were():
    _, session = rewritten()
    back, left = undo_steps(session)
    assert [turn.chunk for turn in left] == ["print(y)"]
    assert chunks(back) == ["x = 1", WRONG]
    assert redo_steps(back)[0].head == session.head
    earlier, _ = undo_steps(session.undo())
    assert chunks(earlier) == ["x = 1"]


def stopped(limit: str):
    """A run of which the first of a chunk that has a certain name ends by a limit."""

    def run_or_stop(program: Program) -> Outcome:
        outcome = run_with_variables(program)
        return replace(outcome, reason=Reason(limit), finished=False) if "stop" in program.source else outcome

    return run_or_stop


def test_an_interrupt_of_a_run_ends_all_that_would_be_tried():
    one = observed(SELECT, set_x=["x = 1", "x = 2", "stop = 2", "x = 2"], set_stop=["stop = 1", "x = 1"])
    generator = TurnGenerator(
        instruct, one.model.complete, run, policy=SELECT, candidates=one.model.candidates
    )
    session = take(replace(generator, dry_run=stopped("interrupted")), Session(), "set x", GREEDY_64)
    assert chunks(session) == ["x = 1"]
    session = take(replace(generator, run=stopped("interrupted")), Session(), "set stop", GREEDY_64)
    assert len(one.model.asked) == 4 + 1


def test_what_cannot_be_run_or_asked_leaves_the_turn_as_it_was():
    def broken(program: Program) -> Outcome:
        raise SandboxError("no sandbox")

    one = observed(SELECT, set_x=["x = 1", "x = 2", "x = 2", "x = 2"])
    generator = TurnGenerator(
        instruct, one.model.complete, run, policy=SELECT, candidates=one.model.candidates
    )
    session = take(replace(generator, dry_run=broken), Session(), "set x", GREEDY_64)
    assert chunks(session) == ["x = 1"]
    assert session.outcome is not None
    assert session.outcome.ok


def test_a_turn_that_runs_long_and_well_is_not_weighed():
    def slow(program: Program) -> Outcome:
        return replace(run(program), seconds=12.0)

    one = observed(SELECT, set_x=["x = 1", "x = 2", "x = 2", "x = 2"])
    generator = TurnGenerator(
        instruct, one.model.complete, slow, policy=SELECT, candidates=one.model.candidates
    )
    assert chunks(take(generator, Session(), "set x", GREEDY_64)) == ["x = 1"]


def test_the_files_of_what_is_chosen_are_those_of_a_real_run():
    ran: list[str] = []

    def noted(program: Program) -> Outcome:
        ran.append(program.source)
        return run(program)

    one = observed(SELECT, set_x=["x = 3", "x = 2", "x = 2", "x = 2"])
    generator = TurnGenerator(
        instruct,
        one.model.complete,
        noted,
        policy=SELECT,
        candidates=one.model.candidates,
        dry_run=run_with_variables,
    )
    take(generator, Session(), "set x", GREEDY_64)
    assert ran == ["x = 3\n", "x = 2\n"]


def test_an_interrupt_while_mending_keeps_what_was_told(tmp_path: Path):
    runs: list[Program] = []

    def run_once(program: Program) -> Outcome:
        runs.append(program)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return run(program)

    log = Log.open(tmp_path / "one.jsonl")
    told: list[Session] = []

    def on_event(event: Event) -> None:
        if isinstance(event, TurnWritten):
            told.append(event.session)
            log.write(event.session)

    one = observed(PLAIN, corrected=["x = 1"], set_x=["x = 1/0"])
    generator = TurnGenerator(
        instruct, one.model.complete, run_once, on_event=on_event, policy=Policy(repair_rounds=1)
    )
    session = take(generator, Session(name=log.name), "set x", GREEDY_64)
    assert len(told) == 2
    log.write(session)
    assert chunks(session) == ["x = 1/0"]


def test_a_retry_differs_from_what_was_weighed():
    one = observed(SELECT, set_x=["x = 3", "x = 2", "x = 2", "x = 2", "x = 9"])
    generator = TurnGenerator(
        instruct,
        one.model.complete,
        run,
        policy=SELECT,
        candidates=one.model.candidates,
        dry_run=run_with_variables,
    )
    session = retry(generator, take(generator, Session(), "set x", GREEDY_64), GREEDY_64)
    assert chunks(session) == ["x = 9"]


def test_mending_comes_last_and_counts_as_the_policys():
    mended = {"corrected": ["print(5)"], "show": ["print(x)"]}
    session = ObservedGenerator(KeyedModel(mended), Policy(repair_rounds=1)).take("show")
    assert chunks(session) == ["print(5)"]
    assert session.path[-1].replaces


def test_every_turn_that_becomes_live_is_told_before_it_does():
    for one in (
        observed(SELECT, set_x=["x = 3", "x = 2", "x = 2", "x = 2"]),
        observed(Policy(repair_rounds=1), corrected=["x = 1"], set_x=["x = 1/0"]),
    ):
        session = one.take("set x")
        told = {event.turn.id for event in one.events if isinstance(event, TurnWritten | CandidateChosen)}
        assert {turn.id for turn in session.turns} <= told


def candidate(chunk: str, logprob: float, copies: int = 1) -> Candidate:
    session = Session().add(Turn("set x", chunk, usage=Usage(completion_tokens=10, logprob=logprob)))
    return Candidate(session.with_outcome(run_with_variables(session.program)), copies)


def test_likelihood_weighs_and_breaks_ties():
    likely, unlikely = candidate("x = 1", -0.1), candidate("x = 2", -9.0, copies=2)
    assert choose([unlikely, likely], Policy()).winner is likely
    assert choose([unlikely, likely], Policy(weigh_by_likelihood=False)).winner is unlikely
    tied = [candidate("x = 2", -3.0), candidate("x = 1 + 1", -2.0)]
    assert choose(tied, Policy()).winner is tied[1]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("print([3, 4])", "print('[3 4]')", True),
        ("print(1.0)", "print(1)", True),
        ("print(0.30000000000000004)", "print(0.3)", True),
        ("print('a')\nprint('b')", "print('b')", True),
        ("print('ab')", "print('b')", False),
        ("print('b')", "print('a')", False),
    ],
)
def test_what_is_shown_is_compared_however_it_is_written(one: str, other: str, alike: bool):
    assert candidate(one, 0.0).ends_like(candidate(other, 0.0)) == alike


XS = "import re\n\nxs = [3, 1]\ny = 2"
AGAIN = "import re\nxs = [3, 1]\nprint(max(xs))"


def test_what_earlier_turns_did_already_is_not_done_again_by_rule():
    one = observed(Policy(rules=True), set_xs=[XS], show_the_most=[AGAIN])
    session = one.take("set xs", "show the most")
    assert chunks(session) == [XS, "print(max(xs))"]
    assert list(TurnGenerator(instruct, one.model.complete).verify(session)) == [None, None]


def test_a_turn_of_an_older_session_is_made_again_with_its_repetitions():
    one = observed(Policy(rules=True), set_xs=[XS], show_the_most=[AGAIN])
    session = one.take("set xs", "show the most")
    last = session.path[-1]
    old = replace(last, chunk=AGAIN, provenance=replace(last.provenance, drops_repeats=False))
    assert "drops_repeats" not in as_json(old.provenance)
    assert list(TurnGenerator(instruct, one.model.complete).verify(session.undo().add(old))) == [None, None]


def test_without_rules_a_repetition_stays():
    one = observed(PLAIN, set_xs=["xs = [3, 1]"], show_the_most=[AGAIN])
    assert chunks(one.take("set xs", "show the most"))[1] == AGAIN
