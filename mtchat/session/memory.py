"""What a model is told of the turns before: whole, folded, or not at all."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from mtchat.session.fold import folded
from mtchat.session.mark import FOLDED, FORGOTTEN
from mtchat.session.provenance import ContextPlan
from mtchat.session.session import Session
from mtchat.session.turn import KEPT, Turn


def plan_for(session: Session, path: Sequence[Turn]) -> ContextPlan:
    """What the user wants a model to be told of a path.

    With a forgotten turn go those right before it whose code it has.
    """
    folded: list[int] = []
    forgotten: list[int] = []
    open_turns: list[int] = []  # whose code a later turn has
    for number, turn in enumerate(path, start=1):
        context = session.mark(turn.id).context
        if context == FORGOTTEN:
            forgotten += [number] if left_out(turn) else [*open_turns, number]
        elif context == FOLDED:
            folded.append(number)
        open_turns = [*open_turns, number] if left_out(turn) and context != FORGOTTEN else []
    return ContextPlan(tuple(folded), tuple(forgotten)).fold(())


def visible_turns(path: Sequence[Turn], memory: ContextPlan) -> tuple[Turn, ...]:
    """The path as a model is told it."""
    return tuple(
        replace(turn, chunk=folded(turn.chunk)) if number in memory.folded else turn
        for number, turn in enumerate(path, start=1)
        if number not in memory.forgotten
    )


def folds(path: Sequence[Turn], memory: ContextPlan) -> list[str]:
    """The codes of a path that are told folded, as they are told."""
    return [folded(turn.chunk) for number, turn in enumerate(path, start=1) if number in memory.folded]


def left_out(turn: Turn) -> bool:
    """Whether a turn has no code on this branch because a later one has the whole program."""
    return turn.status == KEPT and not turn.chunk


def foldable(turn: Turn) -> bool:
    """Whether folding a turn makes it shorter."""
    return folded(turn.chunk) != turn.chunk


def spans(numbers: Sequence[int]) -> str:
    """Numbers of turns, those that follow one another as one: "turn 2", "turns 1-3, 5"."""
    places = groupby(enumerate(numbers), lambda each: each[1] - each[0])
    rows = [[number for _, number in row] for _, row in places]
    text = ", ".join(str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)
    return f"turn{'' if len(numbers) == 1 else 's'} {text}"
