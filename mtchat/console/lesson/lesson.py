"""A lesson of the tutor: what the learner wants to do, the hints so far, and how questions were answered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lesson:
    """`hints` were given at the turn with the id `head`; each further one says more.

    `asked` counts the questions that were answered, `right` those answered right.
    """

    goal: str = ""
    hints: tuple[str, ...] = ()
    head: str = ""
    asked: int = 0
    right: int = 0
