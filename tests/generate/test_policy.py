"""Policies: the table, the names, and what a language or a number of candidates makes of one."""

from dataclasses import replace

import pytest

from mtchat.errors import UsageError
from mtchat.generate import policy
from mtchat.generate.policy import PLAIN, POLICIES, Policy
from mtchat.generate.prompt.family import GUIDANCE
from mtchat.session.language import PYTHON, parse_language


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_says_in_one_sentence_what_it_does(name: str):
    found = policy.load(name)
    assert set(found.guidance) <= set(GUIDANCE)
    assert found.description.endswith(".")
    assert found.description[0].isupper()


def test_the_table_is_sorted_and_no_two_policies_are_the_same():
    assert list(POLICIES) == sorted(POLICIES)
    assert len(set(POLICIES.values())) == len(POLICIES)


@pytest.mark.parametrize(("former", "name"), [("afresh", "rewrite"), ("checks", "tests")])
def test_a_former_name_still_works(former: str, name: str):
    assert policy.load(former) is POLICIES[name]


def test_an_unknown_policy_is_refused_with_those_that_are_known():
    with pytest.raises(UsageError, match=r"'worst' is not a policy; choose from: best, default, .*plain"):
        policy.load("worst")


def test_only_a_language_that_runs_has_more_than_plain_completions():
    assert policy.for_language("best", PYTHON) is POLICIES["best"]
    assert policy.for_language("best", parse_language("javascript")) is PLAIN


def test_candidates_for_every_turn_are_drawn_whatever_the_confidence():
    chosen = POLICIES["default"]
    assert policy.with_candidates(chosen, 1) is chosen
    assert policy.with_candidates(chosen, 4) == replace(chosen, samples=3, confidence_threshold=None)


def test_a_quiet_policy_runs_nothing_that_the_user_has_not_seen():
    quiet = Policy(("examples",), True, 7, generated_tests=2, rewrites=3, repair_rounds=4).quiet
    assert quiet == Policy(("examples",), True)
