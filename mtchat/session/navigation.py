"""Ways through the tree of turns: undo and redo, labels and branches, and the tree as rows to draw."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from string import ascii_lowercase

from mtchat.errors import MtchatError, UsageError
from mtchat.session.provenance import Rewrite
from mtchat.session.session import ROOT, Session, count_turns
from mtchat.session.turn import EDITED, KEPT, Turn

LONGEST = 40
START = "start"


def start_branch(session: Session, name: str) -> Session:
    """The session with a name for its live branch; an error if that cannot be one."""
    if not name[:1].isalpha() or len(name.split()) > 1 or len(name) > LONGEST:
        short = " / ".join(" ".join(line.split()) for line in name.split("\n") if line.strip())
        short = short if len(short) <= LONGEST else short[: LONGEST - 1] + "…"
        raise UsageError(f"the name of a branch must be a word that begins with a letter, not {short!r}")
    if name == START:
        raise UsageError(f"{START} is where every branch begins; give this one another name")
    if name in session.branches:
        raise UsageError(f"branch {name!r} already exists; /goto {name} goes to its end")
    return session.name_branch(name)


def go_to(session: Session, goal: str) -> Session:
    """The session with its head on a turn: one of its numbers, a label of /tree, a branch, or the start."""
    if goal in session.branches:
        return session.go_to_branch(goal)
    if goal == START:
        return replace(session.move(ROOT), branch="")
    if goal.isdecimal() and 1 <= int(goal[:9]) <= len(session.path):
        return session.move(session.turn_at(int(goal)).id)
    if goal[:1].isalpha():
        return session.go_to_branch(goal)
    return replace(session.move(turn_labelled(session, goal).id), branch="")


def last_correction(session: Session) -> Turn | None:
    """The last corrected turn, if the turns after it are only kept, or generated again, because of it."""
    own = list[
        Turn
    ]()  # turns with the user's code after it, which keep their mark when they are carried over
    for turn in reversed(session.path):
        if turn.corrects:
            known = turn.corrects in session.by_id
            return turn if known and all(was_carried(session, turn, each) for each in own) else None
        if turn.status == EDITED:
            own.append(turn)
        elif turn.status != KEPT and not turn.rederives:
            return None
    return None


def was_carried(session: Session, corrected: Turn, turn: Turn) -> bool:
    """Whether a turn after a corrected one stood in the same place before the correction."""
    steps = len(session.path_to(turn.id)) - len(session.path_to(corrected.id))
    old = session.get(follow_visits(session, corrected.corrects, steps))
    same_place = len(session.path_to(old.id)) == len(session.path_to(turn.id))
    return same_place and (old.instruction, old.status) == (turn.instruction, turn.status)


def last_step(session: Session) -> Turn | None:
    """The turn that the last step made: the corrected one, or the last; None at the start."""
    return last_correction(session) or (session.path[-1] if session.path else None)


def undo_steps(session: Session, steps: int = 1) -> tuple[Session, tuple[Turn, ...]]:
    """The session so many steps earlier, and the turns that these made, the last first.

    A step is a turn, or a correction, which goes back to the turns as they were.
    """
    left: list[Turn] = []
    at = session
    for _ in range(steps):
        made = last_step(at)
        if made is None:
            if not left:
                at.undo()
            raise MtchatError(f"cannot undo {steps}: the program has {count_turns(len(left))}")
        left.append(made)
        at = undo_correction(at, made) if made.corrects and made == last_correction(at) else undo_turn(at)
    return at, tuple(left)


def undo_turn(session: Session) -> Session:
    """The session without its last turn; where that came with a whole program, the turns are as before it."""
    last, base = session.path[-1], session.undo()
    if not isinstance(last.provenance, Rewrite):
        return base
    if last.provenance.steps:
        return before_rewrite(session, last.provenance) or base
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


def before_rewrite(session: Session, made: Rewrite) -> Session | None:
    """The session at the turns that were written again, less the last; None if this part is not the last."""
    old = session.path_to(made.of) if made.of in session.by_id else ()
    if made.steps[-1] != len(old):
        return None
    back = session.move(old[-1].parent)
    return replace(back, visited={**back.visited, back.head: session.head})


def undo_correction(session: Session, turn: Turn) -> Session:
    """The session with its head where it was before the last step corrected a turn; redo leads back."""
    later = len(session.path) - len(session.path_to(turn.id))
    back = session.move(follow_visits(session, turn.corrects, later))
    return replace(back, visited={**back.visited, back.head: session.head})


def redo_steps(session: Session, steps: int = 1) -> tuple[Session, tuple[Turn, ...]]:
    """The session after the steps that were last taken back, and the turns that these made."""
    at, back = session.redo(steps), session
    found: list[Turn] = []
    while back.head != at.head:
        back = back.redo()
        made = last_step(back)
        found += [made] if made else []
    return at.move(at.head), tuple(found)


def follow_visits(session: Session, turn: str, steps: int) -> str:
    """Where the live path last went on from a turn, so many steps on."""
    for _ in range(steps):
        turn = session.visited.get(turn, turn)
    return turn


LETTERS = len(ascii_lowercase)


@dataclass(frozen=True)
class TreeRow:
    """One turn of the tree: the lines that lead to it, its label, and the turn."""

    lines: str
    label: str
    turn: Turn


def turn_labels(session: Session) -> Mapping[str, str]:
    """What each turn is called, by its id: its place in its conversation, and a letter from the second on.

    "3" is the first turn that was made in third place, "3b" the next one there; a label never changes.
    """
    places: dict[str, int] = {ROOT: 0}
    made: dict[int, Iterator[int]] = {}
    found = {}
    for turn in session.turns:
        place = places[turn.id] = places[turn.parent] + 1
        found[turn.id] = f"{place}{label_suffix(next(made.setdefault(place, itertools.count())))}"
    return found


def label_suffix(number: int) -> str:
    """Nothing for 0, then b, c, ... z, ba, bb, ..."""
    text = ""
    while number:
        number, rest = divmod(number, LETTERS)
        text = ascii_lowercase[rest] + text
    return text


def turn_labelled(session: Session, label: str) -> Turn:
    """The turn that is called so."""
    for turn, known in turn_labels(session).items():
        if known == label:
            return session.get(turn)
    raise MtchatError(f"no turn {label!r} in this session; /tree shows them all")


def tree_rows(session: Session) -> Iterator[TreeRow]:
    """Every turn, each below the one before it; alternatives are set apart, the live one last.

    So the live conversation reads straight down the left side.
    """
    names = turn_labels(session)
    below: dict[str, list[Turn]] = {}
    for turn in session.turns:
        below.setdefault(turn.parent, []).append(turn)
    live = {turn.id for turn in session.path} | set(session.visited.values())
    waiting = [(ROOT, "", "")]
    while waiting:
        at, lines, branch = waiting.pop()
        if at != ROOT:
            yield TreeRow(lines + branch, names[at], session.get(at))
        inner = lines + ("│ " if branch else "")
        tries = sorted(below.get(at, []), key=lambda turn: turn.id in live)
        waiting += [(turn.id, inner, "") for turn in tries[-1:]]
        waiting += [(turn.id, inner, "├ ") for turn in reversed(tries[:-1])]
