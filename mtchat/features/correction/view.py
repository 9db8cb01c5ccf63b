"""What the REPL and scripted mode say of a correction: that it was taken for one, and what came of it."""

from mtchat.console.captions import one_line
from mtchat.generate.events import CorrectionStarted
from mtchat.generate.running import excused, failed
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn

NO_CHANGE = "/next TEXT takes TEXT as a new step"
IN_REPL = "not meant so? /undo, then /next TEXT takes TEXT as a new step"


def describe_correction(event: CorrectionStarted) -> str:
    return f"changing turn {event.number}: {one_line(event.instruction.partition(chr(10))[0], 60)}"


def step_name(turn: Turn) -> str:
    """What the step that made a turn was: its instruction, or the correction that it ends with."""
    correction = turn.instruction.rpartition("\n")[2]
    return f"the change: {one_line(correction)}" if turn.corrects else one_line(turn.shown)


def describe_result(before: Session, after: Session, way_out: str = IN_REPL) -> str:
    """What the user should know of where a correction led, and what can be done about it."""
    if was_interrupted(before, after):
        return "the program is as it was; what was written is kept beside it"
    if after.head == before.head:
        return f"nothing is changed; say it in other words. {NO_CHANGE if way_out == IN_REPL else way_out}"
    if failed(after.outcome) and not failed(before.outcome) and not excused(after.outcome):
        return "the program ran before this change: /undo takes it back, /fix asks the model to mend it"
    return way_out


def was_corrected(before: Session, after: Session) -> bool:
    """Whether what led from one session to the other was a correction."""
    path = {turn.id for turn in before.path}
    turns = (*new_turns(before, after), *(turn for turn in after.path if turn.id not in path))
    return any(turn.corrects for turn in turns)


def was_interrupted(before: Session, after: Session) -> bool:
    """Whether the last turn that was made since was stopped while it was written."""
    made = new_turns(before, after)
    return bool(made) and any(turn.status == INTERRUPTED for turn in made)


def new_turns(before: Session, after: Session) -> tuple[Turn, ...]:
    return after.turns[len(before.turns) :]
