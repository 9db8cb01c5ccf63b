"""The n-gram drafter: which draft tokens it proposes. Whole completions are tested in test_cpu_engine."""

from mtchat.inference.speculative import NgramDrafter


def test_what_followed_the_same_ids_is_proposed() -> None:
    assert NgramDrafter([1, 2, 3, 4, 5, 9, 2, 3]).propose(3) == [4, 5, 9]


def test_the_longest_run_speaks_first_and_the_latest_of_those() -> None:
    assert NgramDrafter([7, 1, 2, 5, 8, 2, 6, 7, 1, 2]).propose(2) == [5, 8]
    assert NgramDrafter([1, 2, 5, 0, 1, 2, 6, 0, 1, 2]).propose(1) == [6]


def test_nothing_is_proposed_without_an_earlier_occurrence() -> None:
    assert NgramDrafter([1, 2, 3]).propose(5) == []
    assert NgramDrafter([]).propose(5) == []
    assert NgramDrafter([1, 2, 1]).propose(0) == []


def test_the_sequence_can_go_on() -> None:
    drafter = NgramDrafter([1, 2, 3])
    drafter.extend([1])
    assert drafter.propose(4) == [2, 3]
    drafter.extend([2, 3, 4, 1, 2, 3])
    assert drafter.propose(1) == [4]
