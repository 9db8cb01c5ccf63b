"""What is shown of a turn while it is made: of tries that all fail one, the best, and how many others."""

import io

from mtchat.core.outcome import Outcome
from mtchat.core.session import Session
from mtchat.core.turn import Making, Turn
from mtchat.repl.view import View
from mtchat.repl.writing import Writing
from mtchat.synthesis import Chose, Made, Mending, Ran, Settled

FAILS = Outcome(finished=False, error="turn 1, line 1: ValueError: no")
FURTHER = Outcome(finished=False, error="turn 1, line 2: ValueError: no")
FIRST = Turn("do it", "first()")
OTHER = Turn("do it", "other()")
MENDED = Turn("do it", "mended()\nfirst()", making=Making(mends=FIRST.id))


def of(turn: Turn, outcome: Outcome | None = None) -> Session:
    session = Session().add(turn)
    return session.with_outcome(outcome) if outcome else session


def shown(*events) -> list[str]:
    view = View(io.StringIO(), live=False, color=False)
    show = Writing(view)
    for event in events:
        show(event)
    return view.out.getvalue().splitlines()


def test_the_best_of_tries_that_fail_is_shown_last_and_the_others_are_counted():
    begun = [Made(of(FIRST), FIRST), Ran(FAILS, 1), Chose(of(OTHER, FAILS), OTHER, FAILS, 4)]
    mended = [Mending(1, 1, 1, FAILS.error), Made(of(MENDED), MENDED), Ran(FURTHER, 1)]
    assert shown(*begun, *mended, Settled(of(MENDED, FURTHER), 2)) == [
        "first()",
        f"✗ {FAILS.error}",
        "another try gets further:",
        "mended()",
        "first()",
        f"✗ {FURTHER.error}",
        "2 other tries fail, too",
    ]


def test_where_the_first_try_is_the_best_it_is_not_shown_again():
    events = [Made(of(FIRST), FIRST), Ran(FAILS, 1), Mending(1, 1, 1, FAILS.error), Made(of(MENDED), MENDED)]
    ended = [Ran(FAILS, 1), Settled(of(FIRST, FAILS), 1)]
    assert shown(*events, *ended) == ["first()", f"✗ {FAILS.error}", "another try fails, too"]


def test_each_round_of_a_mending_that_was_asked_for_is_shown():
    round_of = [Made(of(MENDED), MENDED), Ran(FAILS, 1)]
    lines = shown(Mending(1, 2, 1, FAILS.error), *round_of, Mending(2, 2, 1, FAILS.error), *round_of)
    assert lines.count("mended()") == 2
    assert lines.count("mending turn 1, round 2 of 2") == 1
