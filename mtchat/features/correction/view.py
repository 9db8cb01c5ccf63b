"""What the user reads about a correction: that one was detected, and its result."""

from collections.abc import Iterator

from mtchat.console.captions import one_line
from mtchat.generate.events import CorrectionCompared, CorrectionStarted, LaterTurnChanged, ValueChange
from mtchat.generate.execute import excused, failed
from mtchat.generate.judge.regressions import describe_broken
from mtchat.session.names import list_turn_numbers
from mtchat.session.session import Session
from mtchat.session.text import quantity
from mtchat.session.turn import INTERRUPTED, Turn

MOST = 4  # changed outputs that are shown
LONGEST = 40
SHOWN = 40  # characters of an instruction
NOTHING = "nothing"


def describe_correction(event: CorrectionStarted, way_out: str = "") -> str:
    """Which turn changes, and the way to a new step instead, if any."""
    said = f"changing turn {event.number}: {one_line(event.instruction.partition(chr(10))[0], SHOWN)}"
    return f"{said} ({way_out})" if way_out else said


def describe_choice(count: int) -> str:
    return f"another of the {count} candidates for the change is better"


def describe_later_turn(event: LaterTurnChanged) -> str:
    how = "changes as well" if event.by_rule else "is written again"
    return f"turn {event.number} {how}: {event.reason}"


def describe_effect(event: CorrectionCompared) -> Iterator[str]:
    """What a correction changed in what the program does, a line for each turn or variable; at most a few."""
    found = event.outputs or event.values or ()
    yield from map(describe_value_change, found[:MOST])
    if len(found) > MOST:
        rest = len(found) - MOST
        what = "turn" if event.outputs else "variable"
        yield f"{rest} more {what}{'' if rest == 1 else 's'} differ{'s' if rest == 1 else ''}"
    if not event.has_effect:
        turns = list_turn_numbers([each.number for each in event.changed])
        same = "prints what it printed before"
        if event.values is not None:
            same += ", and its variables have the values that they had"
        yield f"no effect: the code of {turns} changed, but the program {same}"
        yield "/correct N TEXT changes another turn, /undo reverts this change"
    elif event.kept and len(event.changed) > 1:
        yield f"{quantity(event.kept, 'other turn')} kept unchanged"
    if event.broken:
        yield describe_broken(event.broken)


def describe_value_change(each: ValueChange) -> str:
    """One line: the first line of a text that differs, before and after."""
    subject = f"`{each.name}`" if each.name else f"turn {each.number}"
    old, new = (str.splitlines(text or "") for text in (each.old, each.new))
    same = next(
        (at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]),
        min(len(old), len(new)),
    )
    more = max(len(old), len(new)) - same - 1
    first, second = (one_line(text[same], LONGEST) if same < len(text) else NOTHING for text in (old, new))
    return f"{subject}: {first} → {second}" + (f" (and {quantity(more, 'line')} more)" if more > 0 else "")


def describe_result(before: Session, after: Session) -> str:
    """What went wrong with a correction, and what the user can do about it; "" if nothing did."""
    if was_interrupted(before, after):
        return "the program is unchanged; the attempt is kept as a branch"
    if after.head == before.head:
        return "the model has nothing to change there, so the program is as it was; try other words"
    if failed(after.outcome) and not failed(before.outcome) and not excused(after.outcome):
        return "the program ran before this change: /undo reverts it, /fix asks the model to repair it"
    return ""


def was_corrected(before: Session, after: Session) -> bool:
    """Whether the step from one session to the other was a correction."""
    path = {turn.id for turn in before.path}
    turns = (*new_turns(before, after), *(turn for turn in after.path if turn.id not in path))
    return any(turn.corrects for turn in turns)


def was_interrupted(before: Session, after: Session) -> bool:
    """Whether the last turn since was interrupted while it was written."""
    made = new_turns(before, after)
    return bool(made) and any(turn.status == INTERRUPTED for turn in made)


def new_turns(before: Session, after: Session) -> tuple[Turn, ...]:
    return after.turns[len(before.turns) :]
