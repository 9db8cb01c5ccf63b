"""Guesses: what is looked up, and that a reply is the same whether anything is guessed or not."""

from mtchat.inference.speculative import Lookup


def test_what_followed_the_same_ids_is_guessed() -> None:
    assert Lookup([1, 2, 3, 4, 5, 9, 2, 3]).guess(3) == [4, 5, 9]


def test_the_longest_run_speaks_first_and_the_latest_of_those() -> None:
    assert Lookup([7, 1, 2, 5, 8, 2, 6, 7, 1, 2]).guess(2) == [5, 8]
    assert Lookup([1, 2, 5, 0, 1, 2, 6, 0, 1, 2]).guess(1) == [6]


def test_nothing_is_guessed_where_nothing_came_before() -> None:
    assert Lookup([1, 2, 3]).guess(5) == []
    assert Lookup([]).guess(5) == []
    assert Lookup([1, 2, 1]).guess(0) == []


def test_the_sequence_can_go_on() -> None:
    lookup = Lookup([1, 2, 3])
    lookup.push([1])
    assert lookup.guess(4) == [2, 3]
    lookup.push([2, 3, 4, 1, 2, 3])
    assert lookup.guess(1) == [4]
