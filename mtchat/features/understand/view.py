"""What the user reads about how a text was understood: one line, with the way to change it.

In a terminal a key changes it, in a script the command of that key.
"""

from collections.abc import Sequence

from mtchat.console.captions import one_line
from mtchat.features.understand.reading import Kind, Reading, Understanding
from mtchat.session.turn import Turn

MENTIONED = 0.15  # the probability from which on another reading is mentioned
SHOWN = 40  # characters of an instruction
KEY = "Ctrl-T"
TAKEN = {
    Kind.CHECK: "keeping this as a check",
    Kind.QUESTION: "answering a question",
    Kind.TALK: "just talk, nothing changes; /undo takes a step back",
}


def describe_reading(reading: Reading, path: Sequence[Turn]) -> str:
    """A reading in a few words: "a new step", "change turn 2: fit the model"."""
    match reading.kind:
        case Kind.STEP:
            return "a new step"
        case Kind.CHANGE:
            return f"change turn {reading.turn}: {instruction_of(path, reading.turn)}"
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


def way_to_step(has_keys: bool) -> str:
    """How to make a new step of the text that was just understood as something else."""
    return f"{KEY if has_keys else '/as step'} makes it a new step"


def describe_taken(kind: Kind, has_keys: bool) -> str:
    """What a text was taken for that changes no turn, and the way to a step."""
    return f"{TAKEN.get(kind, kind)} ({way_to_step(has_keys)})"


def describe_step(turn: int, path: Sequence[Turn], has_keys: bool) -> str:
    """That a text was taken for a step, and the way to a change of a turn of the program before it."""
    way = KEY if has_keys else f"/as change {turn}"
    return f"a new step ({way} changes turn {turn}: {instruction_of(path, turn)})"


def describe_other(
    understanding: Understanding, taken: Reading, path: Sequence[Turn], has_keys: bool = True
) -> str:
    """The way to another likely reading of something taken for a step; "" if no other is likely."""
    if taken.kind is not Kind.STEP:
        return ""
    others = (each for each in understanding.readings if each.kind is Kind.CHANGE)
    other = next(others, None)
    if other is None or other.confidence < MENTIONED:
        return ""
    return describe_step(other.turn, path, has_keys)


def describe_return(kind: Kind, number: int, path: Sequence[Turn], has_keys: bool) -> str:
    """That what a text once made is back, and the way to the other reading; `number` is the changed turn."""
    if kind is Kind.STEP:
        return f"back to a new step ({KEY if has_keys else '/as change'} changes turn {number} again)"
    return f"back to the change of turn {number}: {instruction_of(path, number)} ({way_to_step(has_keys)})"


def instruction_of(path: Sequence[Turn], number: int) -> str:
    """The first line of what a turn was asked for."""
    return one_line(path[number - 1].instruction_as_typed.partition("\n")[0], SHOWN)
