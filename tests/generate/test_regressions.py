"""What a change must leave as it was: the output and the checks of turns that it is not about."""

from dataclasses import replace

import pytest

from mtchat.generate.execute import execute
from mtchat.generate.judge.arbitrary import uses_chance
from mtchat.generate.judge.regressions import (
    broken_beside,
    broken_turns,
    changed_turns,
    keeps_steps,
    reach_of,
)
from mtchat.session.outcome import Outcome
from mtchat.session.program import CheckResult
from mtchat.session.session import Session
from mtchat.session.turn import Turn, TurnOptions
from tests.support.generate import run

PRICES = ["total = 5", "greeting = 'hi'\nprint(greeting)", "print(total)", "print(greeting, 'you')"]


def program(*codes: str) -> Session:
    session = Session().extend(tuple(Turn(f"step {number}", code) for number, code in enumerate(codes)))
    return execute(session, run)


def with_change(codes: list[str], number: int, code: str) -> list[str]:
    return [code if at == number else each for at, each in enumerate(codes, start=1)]


CHANGES = [
    ("only itself and those that use it", 2, "greeting = 'hello'\nprint(greeting)", ()),
    ("a name of another turn as well", 2, "greeting = 'hello'\nprint(greeting)\ntotal = 9", (3,)),
    ("so that another turn fails", 2, "greeting = 'hello'\nprint(greeting)\ndel total", (3,)),
    ("what a later turn uses", 1, "total = 6", ()),
    ("nothing that is seen", 4, "print(greeting, 'you')  # friendly", ()),
]


@pytest.mark.parametrize(
    ("number", "code", "broken"), [row[1:] for row in CHANGES], ids=[r[0] for r in CHANGES]
)
def test_a_change_breaks_what_it_is_not_about(number: int, code: str, broken: tuple[int, ...]) -> None:
    before, after = program(*PRICES), program(*with_change(PRICES, number, code))
    assert changed_turns(before, after) == (number,)
    assert broken_beside(before, after) == broken


def test_what_a_program_prints_by_chance_is_not_compared() -> None:
    chance = "import random\nprint(random.random())"
    before, after = program("x = 1", chance), program("x = 2", chance)
    assert broken_turns(before, after, (1,)) == ()


def test_a_check_of_another_turn_that_no_longer_passes_is_broken() -> None:
    def checked(session: Session, passed: bool) -> Session:
        results = (CheckResult(1, "total == 5", passed), CheckResult(2, "greeting", False))
        assert session.outcome is not None
        return session.with_outcome(replace(session.outcome, check_results=results))

    before, after = (
        program(*PRICES),
        program(*with_change(PRICES, 2, "greeting = 'hi'\nprint('hi')\ntotal = 9")),
    )
    found = broken_turns(checked(before, True), checked(after, False), {2, 3, 4})
    assert found == (1,)
    assert broken_turns(checked(before, False), checked(after, False), {2, 3, 4}) == ()


REWRITES = [
    ("each step in its turn", ["print('a')", "print('b',  1)", "print('new')"], True),
    ("two steps in one turn", ["print('a')\nprint('b 1')", "print('new')"], True),
    ("a step in the turn after it", ["x = 1", "print('a')\nprint('b 1')", "print('new')"], True),
    ("all steps in one turn", ["print('a')\nprint('b 1')\nprint('new')"], True),
    ("something else", ["print('a')", "print('b 2')", "print('c')"], False),
    ("less", ["print('a')\nprint('c')"], False),
    ("something more in between", ["print('a')\nprint('more')", "print('b 1')", "x = 1"], False),
    ("nothing", ["x = 1", "x = 2", "print('c')"], False),
    ("by chance", ["import random\nprint(random.random())"], True),
]


@pytest.mark.parametrize(("codes", "kept"), [row[1:] for row in REWRITES], ids=[row[0] for row in REWRITES])
def test_a_rewritten_program_prints_for_each_step_but_the_last_what_it_printed(
    codes: list[str], kept: bool
) -> None:
    before = program("print('a')", "print('b 1')", "print('c')")
    assert keeps_steps(before, program(*codes)) is kept


def test_a_step_that_did_not_run_has_nothing_to_keep() -> None:
    before = program("print('a')", "print('b')\n1/0", "print('c')")
    assert keeps_steps(before, program("print('a')", "print('x')", "print('c')"))
    assert not keeps_steps(before, program("print('x')", "print('x')", "print('c')"))


def test_a_check_of_what_changes_is_within_the_reach_of_the_change() -> None:
    session = Session().extend(
        (Turn("set it", "total = 5"), Turn("say hi", "print('hi')"), Turn("other", "other = 1"))
    )
    session = session.with_options(session.path[1].id, TurnOptions(("total == 5",)))
    assert reach_of(session, [1]) == {1, 2}
    assert reach_of(session, [3]) == {3}


@pytest.mark.parametrize("outcome", [None, Outcome()])
def test_without_two_runs_nothing_is_broken(outcome: Outcome | None) -> None:
    session = Session().add(Turn("set it", "x = 1"))
    before = session.with_outcome(outcome) if outcome else session
    assert broken_turns(before, session, ()) == ()


@pytest.mark.parametrize(
    ("source", "chance"),
    [
        ("import random\nx = random.choice([1, 2])", True),
        ("from random import choice as pick\ndef f():\n    return pick([1])", True),
        ("import datetime\nprint(datetime.datetime.now())", True),
        ("x = 1\nprint(x)", False),
        ("def broken(", False),
    ],
)
def test_calls_of_chance_and_of_the_clock_are_seen(source: str, chance: bool) -> None:
    assert uses_chance(source) is chance
