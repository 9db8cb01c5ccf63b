"""What the user reads about a correction: that one was detected, and its result."""

from mtchat.console.captions import one_line
from mtchat.generate.events import CorrectionStarted
from mtchat.generate.execute import excused, failed
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn

NO_CHANGE = "/next TEXT treats TEXT as a new step"
IN_REPL = "not what you meant? /undo, then /next TEXT treats TEXT as a new step"


def describe_correction(event: CorrectionStarted) -> str:
    return f"changing turn {event.number}: {one_line(event.instruction.partition(chr(10))[0], 60)}"


def step_name(turn: Turn) -> str:
    """The step that made a turn: its instruction, or the correction that it ends with."""
    correction = turn.instruction.rpartition("\n")[2]
    return f"correction: {one_line(correction)}" if turn.corrects else one_line(turn.instruction_as_typed)


def describe_result(before: Session, after: Session, way_out: str = IN_REPL) -> str:
    """The result of a correction, and what the user can do about it."""
    if was_interrupted(before, after):
        return "the program is unchanged; the attempt is kept as a branch"
    if after.head == before.head:
        return f"the program is unchanged; try other words. {NO_CHANGE if way_out == IN_REPL else way_out}"
    if failed(after.outcome) and not failed(before.outcome) and not excused(after.outcome):
        return "the program ran before this change: /undo reverts it, /fix asks the model to repair it"
    return way_out


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
