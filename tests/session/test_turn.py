"""The id of a turn: made from what the turn is, and from nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.session.prompt import Usage
from mtchat.session.provenance import Step
from mtchat.session.settings import Sampling
from mtchat.session.turn import EDITED, Turn

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
TURN = Turn("add two numbers", "x = 1 + 2\n", provenance=Step(model="starter", sampling=Sampling(seed=7)))


def test_an_id_is_32_hex_digits_that_stay_the_same_from_run_to_run():
    assert TURN.id == "c2309bec78319883ef85b658e0846cf8"


@pytest.mark.parametrize(
    "other",
    [
        replace(TURN, instruction="add three numbers"),
        replace(TURN, chunk="x = 1 + 2"),
        replace(TURN, parent=TURN.id),
        replace(TURN, status=EDITED),
        replace(TURN, meant="it prints 3"),
        replace(TURN, provenance=replace(TURN.provenance, model="starter-small")),
        replace(TURN, provenance=replace(TURN.provenance, sampling=Sampling(seed=8))),
        replace(TURN, provenance=replace(TURN.provenance, error="turn 1: NameError")),
    ],
)
def test_whatever_makes_another_turn_makes_another_id(other):
    assert other.id != TURN.id


def test_what_a_turn_cost_does_not_change_its_id():
    assert replace(TURN, usage=Usage(prompt_tokens=10, decode_seconds=1.5)).id == TURN.id


@given(one=st.tuples(ANY_TEXT, ANY_TEXT), other=st.tuples(ANY_TEXT, ANY_TEXT))
def test_turns_have_one_id_exactly_when_they_are_equal(one, other):
    assert (Turn(*one).id == Turn(*other).id) == (one == other)


def test_two_lone_surrogates_are_not_the_character_they_would_pair_up_to():
    assert Turn("do", "\ud83d\ude00").id != Turn("do", "\U0001f600").id
