"""What the user reads about how a text was understood: one line, with the way to change it."""

from collections.abc import Sequence

from mtchat.console.captions import one_line
from mtchat.features.understand.reading import Kind, Reading, Understanding
from mtchat.session.turn import Turn

MENTIONED = 0.15  # the probability from which on another reading is mentioned
SHOWN = 40  # characters of an instruction


def describe_reading(reading: Reading, path: Sequence[Turn]) -> str:
    """A reading in a few words: "a new step", "change turn 2: fit the model"."""
    match reading.kind:
        case Kind.STEP:
            return "a new step"
        case Kind.CHANGE:
            turn = path[reading.turn - 1]
            return f"change turn {reading.turn}: {one_line(turn.instruction_as_typed, SHOWN)}"
        case Kind.RENAME:
            return "rename something"
        case Kind.CHECK:
            return "a check to keep"
        case Kind.QUESTION:
            return "a question"
    return "just talk"


def describe_choices(understanding: Understanding, path: Sequence[Turn]) -> str:
    """The readings that are offered, on one line: "[1] a new step  [2] change turn 2: fit the model"."""
    offered = enumerate(understanding.offered, start=1)
    return "  ".join(f"[{number}] {describe_reading(each, path)}" for number, each in offered)


def describe_other(understanding: Understanding, taken: Reading) -> str:
    """The way to another likely reading of something taken for a step; "" if no other is likely."""
    if taken.kind is not Kind.STEP:
        return ""
    others = (each for each in understanding.readings if each.kind is Kind.CHANGE)
    other = next(others, None)
    if other is None or other.confidence < MENTIONED:
        return ""
    return f"taken for a new step; /as change {other.turn} changes turn {other.turn} instead"


TALK = "this changes nothing in the program; /undo takes back the last step, /as step makes this one"
