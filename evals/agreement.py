"""Choosing among solutions by checks that nobody has verified: dual execution agreement.

Chen et al. 2022, CodeT, arXiv:2207.10397. Solutions that pass the same checks are taken to do the same; what
many solutions do and many checks confirm is likely right, as wrong ones seldom agree.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Solutions, by their place, that pass the same checks; a solution that was drawn twice counts twice."""

    solutions: tuple[int, ...]
    checks: frozenset[Hashable]

    @property
    def score(self) -> int:
        """solutions * checks²: the order of sqrt(solutions) * checks, in whole numbers.

        The paper's product is solutions * checks; with the root, more checks count more than more solutions.
        """
        return len(self.solutions) * len(self.checks) ** 2


def groups(passed: Sequence[frozenset[Hashable]]) -> tuple[Group, ...]:
    """The groups of solutions, the best first, from the checks that each one passes.

    Of equals, here and within a group, the one that was drawn first comes first.
    """
    places: dict[frozenset[Hashable], list[int]] = {}
    for place, checks in enumerate(passed):
        places.setdefault(checks, []).append(place)
    found = (Group(tuple(solutions), checks) for checks, solutions in places.items())
    return tuple(sorted(found, key=lambda group: -group.score))


def choose(passed: Sequence[frozenset[Hashable]]) -> int:
    """The place of the solution to take; where no check passes, that of the first."""
    return groups(passed)[0].solutions[0]
