"""Turns that are finished or rewritten: taken only where a run shows that nothing is lost."""

from dataclasses import replace

import pytest

from mtchat.errors import MtchatError
from mtchat.features.rework.rework import complete_turn, placeholders, probe_calls, refactor_turn
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.turn import TurnGenerator
from mtchat.session.provenance import Rework, Step, provenance_of, record_of
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED, KEPT, Turn
from mtchat.store import Log
from tests.support.generate import CARD, CTRL_C, GREEDY, ScriptedModel, run, run_with_variables

LOOP = "numbers = [1, 2, 3]\ntotal = 0\nfor n in numbers:\n    total += n\nprint(total)"
SUM = "numbers = [1, 2, 3]\ntotal = sum(numbers)\nprint(total)"
DOUBLE = "def double(n):\n    result = n * 2\n    return result\nprint(double(4))"


def generator(*replies: str, family=instruct) -> TurnGenerator:
    model = ScriptedModel([reply if family is codegen else f"{reply}\n```\n" for reply in replies])
    name = family.__name__.rpartition(".")[2]
    return TurnGenerator(family, model, run, CARD, name, dry_run=run_with_variables)


def session(*turns: str | Turn) -> Session:
    made = Session()
    for turn in turns:
        turn = Turn("do it", turn) if isinstance(turn, str) else turn
        made = made.add(replace(turn, parent=made.head))
    return made.with_outcome(run(made.program))


def chunks(of: Session) -> list[str]:
    return [turn.chunk for turn in of.path]


def test_code_that_does_the_same_is_taken_and_the_old_stays_beside_it():
    before = session(LOOP, "print(total + 1)")
    done = refactor_turn(generator(SUM), before, 1, "", GREEDY)
    assert done.taken
    assert chunks(done.session) == [SUM, "print(total + 1)"]
    assert done.session.path[1].status == KEPT
    assert [turn.chunk for turn in done.session.children("")] == [LOOP, SUM]
    assert done.session.outcome is not None
    assert done.session.outcome.ok
    assert done.compared == "the output of 2 turns and 3 variables"


@pytest.mark.parametrize(
    ("old", "new", "later", "reason"),
    [
        (LOOP, SUM.replace("sum(numbers)", "7"), "", "turn 1 would print '7' instead of '6'"),
        (LOOP, SUM.replace("total", "all_of_it"), "", "`total` would no longer exist"),
        (LOOP, SUM, "print(n)", "the program would fail: turn 2, line 1: NameError"),
        ("x = [3, 1]", "x = [1, 3]", "", "`x` would be '[1, 3]' instead of '[3, 1]'"),
        (
            DOUBLE,
            "def double(n):\n    return n ** 2 // 2\nprint(double(4))",
            "",
            "double(1) would return '0' instead of '2'",
        ),
    ],
)
def test_code_that_does_otherwise_is_not_taken_and_what_differs_is_said(
    old: str, new: str, later: str, reason: str
):
    before = session(old, *([later] if later else []))
    done = refactor_turn(generator(new), before, 1, "", GREEDY)
    assert any(each.startswith(reason) for each in done.reasons), done.reasons
    assert done.session.head == before.head
    assert new in [turn.chunk for turn in done.session.turns]


def test_a_function_is_tried_with_the_kinds_of_values_that_the_program_gives_it():
    code = "def f(a, b: int, c=1):\n    return a\nf(word, 1)"
    word = run_with_variables(session("word = 'x'").program).variables
    (first, *rest) = probe_calls(code, code, word)
    assert first.call == "f('', 1)"
    assert all(each.call.startswith("f('") for each in rest)
    assert probe_calls("def f(*a):\n    pass", "", ()) == ()
    assert [each.call for each in probe_calls("def f():\n    pass", "", ())] == ["f()"]


def test_a_value_that_the_old_code_fails_for_does_not_count():
    old = "def first(x):\n    return x[0]"
    new = "def first(x):\n    return x[0] if len(x) else None"
    assert refactor_turn(generator(new), session(old), 1, "", GREEDY).taken


def test_the_wish_is_in_the_context_and_a_rewriting_is_asked_for_again_warmer():
    model = ScriptedModel(["x = 1 + 1\n```\n", "x = 2\n```\n"])
    asked = replace(generator(), complete=model)
    before = session("x = 1")
    once = refactor_turn(asked, before, 1, "use a constant", GREEDY)
    assert not once.taken
    assert "use a constant" in model.contexts[0]
    refactor_turn(asked, once.session, 1, "use a constant", GREEDY)
    assert [sampling.temperature for _, sampling in model.asked] == [0.0, 0.6]


def test_a_program_that_fails_cannot_be_compared():
    with pytest.raises(MtchatError, match="there is no behaviour to compare: turn 1, line 1: NameError"):
        refactor_turn(generator(SUM), session("print(nothing)"), 1, "", GREEDY)
    with pytest.raises(MtchatError, match="programs are not run here"):
        refactor_turn(replace(generator(SUM), dry_run=None), session(LOOP), 1, "", GREEDY)


def test_a_rewriting_that_is_interrupted_leaves_the_program_as_it_was():
    before = session(LOOP)
    done = refactor_turn(generator(f"numbers = 1\n{CTRL_C}"), before, 1, "", GREEDY)
    assert done.reasons == ("it was interrupted",)
    assert done.session.head == before.head
    nothing = refactor_turn(generator(CTRL_C), before, 1, "", GREEDY)
    assert nothing.session == before


HALF = Turn("make a list and show it", "x = [1]\nfor n in ra", status=INTERRUPTED)


@pytest.mark.parametrize("family", [instruct, codegen])
def test_a_turn_that_was_interrupted_goes_on_from_its_last_whole_line(family):
    asked = generator("for n in range(2):\n    x.append(n)\n", family=family)
    done = complete_turn(asked, session(HALF, "print(x)"), 1, GREEDY)
    assert done.taken
    assert chunks(done.session) == ["x = [1]\nfor n in range(2):\n    x.append(n)", "print(x)"]
    assert done.session.path[0].status == COMPLETE
    assert done.session.outcome is not None
    assert done.session.outcome.stdout == "[1, 0, 1]\n"
    prompt = asked.complete.asked[0][0]
    assert (prompt.text or prompt.opening).endswith("x = [1]\n")


def test_a_body_that_was_left_open_is_written():
    old = "def area(r):\n    pass  # TODO\n\nsize = 2"
    new = "def area(r):\n    return 3 * r * r\n\nsize = 2"
    done = complete_turn(generator(new), session(old), 1, GREEDY)
    assert done.taken
    assert chunks(done.session) == [new]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("def area(r):\n    ...\n\nsize = 2", "these parts are still missing: area()"),
        ("def area(r):\n    return 1", "it would remove size"),
        (
            "def area(r):\n    return 1\nsize = 1 / 0",
            "the program ran before and would now fail: turn 1, line 3",
        ),
        ("def area(r:", "it was cut short again"),
        (f"def area(r):\n    return 1\n{CTRL_C}", "it was interrupted"),
    ],
)
def test_what_is_not_finished_or_loses_something_is_not_taken(reply: str, reason: str):
    before = session("def area(r):\n    pass\n\nsize = 2")
    done = complete_turn(generator(reply), before, 1, GREEDY)
    assert any(each.startswith(reason) for each in done.reasons), done.reasons
    assert done.session.head == before.head


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("x = 1", ()),
        ("class Mine(Exception):\n    pass", ()),
        ("try:\n    x = 1\nexcept E:\n    pass", ()),
        ("def f():\n    '''Doc.'''\n    ...", ("f()",)),
        ("def f():\n    raise NotImplementedError('later')", ("f()",)),
        ("x = 1  # TODO: more", ("x = 1  # TODO: more",)),
        ("...", ("...",)),
        ("x[...]", ()),
    ],
)
def test_what_is_open_in_a_chunk_is_found(code: str, found: tuple[str, ...]):
    assert placeholders(code) == found


def test_a_turn_that_is_finished_is_left_alone():
    with pytest.raises(MtchatError, match="turn 1 has nothing left to complete"):
        complete_turn(generator("x = 2"), session("x = 1"), 1, GREEDY)


@pytest.mark.parametrize("family", [instruct, codegen])
def test_reworked_turns_are_made_again_byte_for_byte_from_the_sessions_file(family, tmp_path):
    asked = generator("for n in range(2):\n    x.append(n)\n", family=family)
    finished = complete_turn(asked, session(HALF), 1, GREEDY).session
    with Log.open(tmp_path / "one.jsonl") as log:
        log.write(finished)
    again = Log.open(tmp_path / "one.jsonl").session
    assert again.path[0].provenance.continues
    assert list(asked.verify(again)) == [None]

    asked = generator(SUM, family=family)
    rewritten = refactor_turn(asked, session(LOOP), 1, "be short", Sampling(seed=3)).session
    assert rewritten.path[0].provenance.wish.endswith("be short")
    assert list(asked.verify(rewritten)) == [None]
    other = replace(asked, complete=ScriptedModel(["numbers = [9]\n", "numbers = [9]\n```\n"]))
    assert [difference.again for difference in other.verify(rewritten) if difference] == ["numbers = [9]"]


def test_a_turn_from_before_there_was_reworking_keeps_its_id():
    turn = Turn("define x", "x = 1", provenance=Step("starter", "f" * 64))
    plain = replace(turn, provenance=provenance_of(record_of(turn.provenance)))
    assert plain.id == turn.id
    assert replace(turn, provenance=Rework("starter", "f" * 64)).id != turn.id
