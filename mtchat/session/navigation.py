"""Ways through the tree of turns: names for branches, and turns by number, label or branch."""

from dataclasses import replace

from mtchat.errors import UsageError
from mtchat.session.outline import labelled
from mtchat.session.session import ROOT, Session

LONGEST = 40
START = "start"


def named(session: Session, name: str) -> Session:
    """The session with a name for its live branch; an error if that cannot be one."""
    if not name[:1].isalpha() or len(name.split()) > 1 or len(name) > LONGEST:
        short = " / ".join(" ".join(line.split()) for line in name.split("\n") if line.strip())
        short = short if len(short) <= LONGEST else short[: LONGEST - 1] + "…"
        raise UsageError(f"the name of a branch is a word that begins with a letter, not {short!r}")
    if name == START:
        raise UsageError(f"{START} is where every branch begins; give this one another name")
    if name in session.branches:
        raise UsageError(f"there is a branch {name!r} already; /goto {name} goes to its end")
    return session.name_branch(name)


def moved_to(session: Session, goal: str) -> Session:
    """The session with its head on a turn: one of its numbers, a label of /tree, a branch, or the start."""
    if goal in session.branches:
        return session.go_to_branch(goal)
    if goal == START:
        return replace(session.move(ROOT), branch="")
    if goal.isdecimal() and 1 <= int(goal[:9]) <= len(session.path):
        return session.move(session.numbered(int(goal)).id)
    if goal[:1].isalpha():
        return session.go_to_branch(goal)
    return replace(session.move(labelled(session, goal).id), branch="")
