"""The drafters: which draft tokens they propose. Whole completions are tested in test_cpu_engine."""

from collections.abc import Iterator, Sequence

import numpy
from numpy.typing import NDArray

from mtchat.inference.decoder import check_ids
from mtchat.inference.speculative import DraftModel, NgramDrafter


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


class Counting:
    """A model of ten rows that always expects the id after the last, and fails on ids that it lacks."""

    rows = 10

    def __init__(self, ids: Sequence[int] = ()) -> None:
        self.ids = list(ids)

    def open(self, ids: Sequence[int]) -> "Counting":
        return Counting(ids)

    def fork(self) -> "Counting":
        return Counting(self.ids)

    def extend(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def forward(self, ids: Sequence[int]) -> NDArray[numpy.float32]:
        self.ids += ids
        return self.expected()[None]

    def commit(self, count: int) -> None: ...

    def prefill(self) -> Iterator[NDArray[numpy.float32]]:
        yield self.expected()

    def expected(self) -> NDArray[numpy.float32]:
        check_ids(self.ids, self.rows)
        return numpy.where(numpy.arange(self.rows) == (self.ids[-1] + 1) % self.rows, 20, 0).astype("f4")


def test_a_draft_model_proposes_what_it_expects() -> None:
    assert DraftModel(Counting(), [3, 4]).propose(3) == [5, 6, 7]


def test_a_draft_model_with_fewer_rows_gives_way_to_n_grams_after_an_id_that_it_lacks() -> None:
    drafter = DraftModel(Counting(), [3, 4])
    drafter.extend([11, 3, 4])
    assert drafter.propose(3) == [11, 3, 4]
    drafter.extend([12])
    assert drafter.propose(3) == []
    assert DraftModel(Counting(), [3, 11]).propose(3) == []
