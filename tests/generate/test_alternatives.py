"""Retries of a turn; the model is a table and the run a function."""

from dataclasses import replace

import pytest

from mtchat.errors import MtchatError
from mtchat.generate.alternatives import retry
from mtchat.generate.improve import take
from mtchat.session.session import ROOT, Session
from mtchat.session.settings import Sampling
from tests.support.generate import (
    CTRL_C,
    GREEDY,
    ScriptedModel,
    chunks,
    scripted_generator,
    taken,
)


def test_a_retry_makes_a_sibling_from_another_seed_and_warm():
    model = ScriptedModel(["x = 1\n", "x = 2\n", "x = 3\n"])
    generator = scripted_generator(complete=model)
    first = taken(generator, "set x")
    third = retry(generator, retry(generator, first, GREEDY), GREEDY)
    assert [turn.chunk for turn in third.children(ROOT)] == ["x = 1", "x = 2", "x = 3"]
    assert chunks(third) == ["x = 3"]
    assert [sampling.seed for _, sampling in model.asked] == [0, 1, 2]
    assert all(sampling.temperature > 0 for _, sampling in model.asked[1:])
    assert len({prompt for prompt, _ in model.asked}) == 1


def test_a_retry_of_a_warm_model_stays_as_warm_as_it_was():
    model = ScriptedModel(["x = 1\n", "x = 2\n"])
    generator, warm = scripted_generator(complete=model), Sampling(temperature=0.9, seed=40)
    retry(generator, take(generator, Session(), "set x", warm), warm)
    assert model.asked[1][1] == replace(warm, seed=41)


def test_a_retry_that_says_the_same_is_still_another_turn():
    generator = scripted_generator("x = 1\n", "x = 1\n")
    session = retry(generator, taken(generator, "set x"), GREEDY)
    assert len(session.turns) == 2


def test_a_retry_interrupted_at_once_leaves_the_first_try():
    generator = scripted_generator("x = 1\n", CTRL_C)
    session = taken(generator, "set x")
    assert retry(generator, session, GREEDY) is session


def test_a_retry_of_nothing_is_refused():
    with pytest.raises(MtchatError, match="nothing to retry"):
        retry(scripted_generator(), Session(), GREEDY)
