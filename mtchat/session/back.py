"""Undo and redo as the user means them: a correction is one step, wherever the turn is that it changed."""

from dataclasses import replace

from mtchat.errors import MtchatError
from mtchat.session.provenance import Rewrite
from mtchat.session.session import Session, count
from mtchat.session.turn import KEPT, Turn


def correction(session: Session) -> Turn | None:
    """The corrected turn, where a correction is the last thing on the live path."""
    for turn in reversed(session.path):
        if turn.corrects:
            return turn if turn.corrects in session.by_id else None
        if turn.status != KEPT:
            return None
    return None


def step(session: Session) -> Turn | None:
    """The turn that the last step made: the corrected one, or the last; None at the start."""
    return correction(session) or (session.path[-1] if session.path else None)


def take_back(session: Session, steps: int = 1) -> tuple[Session, tuple[Turn, ...]]:
    """The session so many steps earlier, and the turns that these made, the last first.

    A step is a turn, or a correction, which goes back to the turns as they were.
    """
    left: list[Turn] = []
    at = session
    for _ in range(steps):
        made = step(at)
        if made is None:
            if not left:
                at.undo()
            raise MtchatError(f"cannot undo {steps}: the program has {count(len(left))}")
        left.append(made)
        at = uncorrected(at, made) if made.corrects and made == correction(at) else undone(at)
    return at, tuple(left)


def undone(session: Session) -> Session:
    """The session without its last turn; where that had the code of turns before it, they have it again."""
    last, base = session.path[-1], session.undo()
    if not isinstance(last.provenance, Rewrite):
        return base
    path = base.path
    start = next((place for place, turn in enumerate(path) if turn.status == KEPT and not turn.chunk), None)
    if start is None:
        return base
    parent = path[start].parent
    for left in path[start:]:
        own = [
            each for each in session.children(parent) if each.instruction == left.instruction and each.chunk
        ]
        if not own:
            return base
        parent = own[-1].id
    back = session.move(parent)
    return replace(back, visited={**back.visited, parent: session.head})


def uncorrected(session: Session, turn: Turn) -> Session:
    """The session with its head where it was before the last step corrected a turn; redo leads back."""
    later = len(session.path) - len(session.path_to(turn.id))
    back = session.move(followed(session, turn.corrects, later))
    return replace(back, visited={**back.visited, back.head: session.head})


def bring_back(session: Session, steps: int = 1) -> tuple[Session, tuple[Turn, ...]]:
    """The session after the steps that were last taken back, and the turns that these made."""
    at, back = session.redo(steps), session
    found: list[Turn] = []
    while back.head != at.head:
        back = back.redo()
        made = step(back)
        found += [made] if made else []
    return at.move(at.head), tuple(found)


def followed(session: Session, turn: str, steps: int) -> str:
    """Where the live path last went on from a turn, so many steps on."""
    for _ in range(steps):
        turn = session.visited.get(turn, turn)
    return turn
