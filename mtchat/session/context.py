"""Which turns a prompt shows in full, folded to signatures and names, or not at all."""

from collections.abc import Sequence
from itertools import groupby

from mtchat.session.provenance import EVERYTHING, ContextPlan
from mtchat.session.session import Session
from mtchat.session.turn import FOLDED, FORGOTTEN, INTERRUPTED, KEPT, Turn


def plan_for(session: Session, path: Sequence[Turn]) -> ContextPlan:
    """What the user wants a model to be told of a path.

    With a forgotten turn go those right before it whose code it has.
    """
    if not any(options.context for options in session.turn_options.values()):
        return EVERYTHING
    folded: list[int] = []
    forgotten: list[int] = []
    open_turns: list[int] = []  # whose code a later turn has
    for number, turn in enumerate(path, start=1):
        context = session.options_of(turn.id).context
        if context == FORGOTTEN:
            forgotten += [number] if is_emptied(turn) else [*open_turns, number]
        elif context == FOLDED:
            folded.append(number)
        kept = is_emptied(turn) and not is_unwritten(turn) and context != FORGOTTEN
        open_turns = [*open_turns, number] if kept else []
    return ContextPlan(tuple(folded), tuple(forgotten)).fold(())


def is_emptied(turn: Turn) -> bool:
    """Whether a turn has no code of its own: a later one has it, or it is unwritten."""
    return (turn.status == KEPT and not turn.chunk) or is_unwritten(turn)


def is_unwritten(turn: Turn) -> bool:
    """Whether a turn was interrupted before any code: its instruction is neither done nor in progress."""
    return turn.status == INTERRUPTED and not turn.chunk


def describe_turns(numbers: Sequence[int]) -> str:
    """Numbers of turns, those that follow one another as one: "turn 2", "turns 1-3, 5"."""
    places = groupby(enumerate(numbers), lambda each: each[1] - each[0])
    rows = [[number for _, number in row] for _, row in places]
    text = ", ".join(str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)
    return f"turn{'' if len(numbers) == 1 else 's'} {text}"
