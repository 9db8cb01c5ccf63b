"""Makes another turn the last one: N of this program, a label of /tree such as 3b, a branch, or start.

Nothing is lost, and nothing is run or read again: /tree shows the way back.
"""

from dataclasses import replace

from mtchat.console.captions import describe_position, one_line
from mtchat.console.console import Console
from mtchat.errors import UsageError
from mtchat.session.outline import labelled, labels
from mtchat.session.session import ROOT, Session

USAGE = "N|LABEL|BRANCH|start"
START = "start"


def do(console: Console, argument: str) -> None:
    goal = argument.strip()
    if not goal:
        raise UsageError("go where? /tree shows the turns and their labels")
    old = labels(console.session).get(console.session.head, START)
    moved = target(console.session, goal)
    if moved.head == console.session.head and moved.branch == console.session.branch:
        console.view.note("that is where you are")
        return
    console.chat.keep(moved, "goto")
    console.view.say(describe_position(console.session))
    console.view.note(f"/goto {old} goes back")


def target(session: Session, goal: str) -> Session:
    """The session with its head where the user wants it."""
    if goal in session.branches:
        return session.go_to_branch(goal)
    if goal == START:
        return replace(session.move(ROOT), branch="")
    if goal.isdecimal() and 1 <= int(goal[:9]) <= len(session.path):
        return session.move(session.numbered(int(goal)).id)
    if goal[0].isalpha():
        return session.go_to_branch(goal)
    return replace(session.move(labelled(session, goal).id), branch="")


def complete(console: Console) -> list[tuple[str, str]]:
    session = console.session
    named = [(name, "branch") for name in session.branches]
    known = labels(session)
    return [
        *named,
        *((known[turn.id], one_line(turn.instruction)) for turn in session.turns),
        (START, "before the first turn"),
    ]
