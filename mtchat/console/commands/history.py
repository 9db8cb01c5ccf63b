"""Commands that move through the tree of turns: undo, redo, goto, branch, tree, pick."""

import shutil
from collections.abc import Sequence

from mtchat.console.captions import (
    branch_labels,
    context_label,
    describe_position,
    one_line,
    status_sign,
    step_name,
)
from mtchat.console.console import Console
from mtchat.console.parsing import parse_count, parse_number
from mtchat.console.slash import Command
from mtchat.console.view import BOLD
from mtchat.errors import MtchatError, UsageError
from mtchat.session.navigation import START, go_to, tree_rows, turn_labels
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import Turn

WIDTH, LEAST = 60, 16


def do_undo(console: Console, argument: str) -> None:
    """Undoes the last turn, or the last N; /redo restores them.

    A correction counts as one step: undoing it restores the turns that it changed.
    """
    for turn in reversed(console.chat.undo(parse_count(argument))):
        console.view.say(f"undone: {step_name(turn)}")
    console.view.say(describe_position(console.session))


def do_redo(console: Console, argument: str) -> None:
    """Restores the turn or correction that was last undone, or the last N."""
    for turn in console.chat.redo(parse_count(argument)):
        console.view.say(f"restored: {step_name(turn)}")
    console.view.say(describe_position(console.session))


def do_goto(console: Console, argument: str) -> None:
    """Moves to another turn: N of this program, a label of /tree such as 3b, a branch, or start.

    Nothing is deleted or run again: /tree shows the way back.
    """
    goal = argument.strip()
    if not goal:
        raise UsageError("Go to which turn? /tree shows the turns and their labels")
    old = turn_labels(console.session).get(console.session.head, START)
    moved = go_to(console.session, goal)
    if moved.head == console.session.head and moved.branch == console.session.branch:
        console.view.note("you are already there")
        return
    console.chat.keep(moved, "goto")
    console.view.say(describe_position(console.session))
    console.view.note(f"/goto {old} goes back")


def complete_goto(console: Console) -> list[tuple[str, str]]:
    session = console.session
    named = [(name, "branch") for name in session.branches]
    known = turn_labels(session)
    return [
        *named,
        *((known[turn.id], one_line(turn.instruction)) for turn in session.turns),
        (START, "before the first turn"),
    ]


def do_branch(console: Console, argument: str) -> None:
    """Names the current branch; the name moves with its new turns. Without NAME it lists the branches.

    /goto NAME returns to it from anywhere.
    """
    name = argument.strip()
    if not name:
        list_branches(console)
        return
    console.chat.branch(name)
    console.view.say(f"this branch is now {name!r}; /goto {name} returns to its end")


def list_branches(console: Console) -> None:
    session = console.session
    if not session.branches:
        console.view.say("no branch has a name; /branch NAME names this one, /tree shows them all")
    known = {**turn_labels(session), ROOT: "start"}
    for name, end in session.branches.items():
        mark = "*" if name == session.branch else " "
        said = one_line(session.get(end).instruction) if end else ""
        console.view.line(f"{mark} {name:<16} {known[end]:<5} {said}".rstrip())


def do_tree(console: Console, argument: str) -> None:
    """Draws all turns of the session: the current program on the left, and everything else that was tried.

    ✓ ran, ✗ failed, ■ was interrupted, · was not run, alone or with later turns. Other candidates for the
    same instruction are shown by their code. (folded) and (forgotten) say how much of a
    turn the model sees. /goto LABEL makes a turn the last one.
    """
    session = console.session
    if not session.turns:
        console.view.line("no turns yet; type an instruction")
        return
    start = branch_labels(session, ROOT)
    if start or session.head == ROOT:
        console.view.line(f"(start){start}{position_mark(console, ROOT)}")
    live = {turn.id for turn in session.path}
    for row in tree_rows(session):
        turn = row.turn
        begin = f"{row.lines}{status_sign(session, turn)} {row.label:<3} "
        end = branch_labels(session, turn.id) + context_label(session, turn) + position_mark(console, turn.id)
        room = shutil.get_terminal_size().columns - 1 - len(begin) - len(end)
        said = one_line(
            turn.chunk if is_candidate(session, turn) else turn.instruction_as_typed,
            max(min(room, WIDTH), LEAST),
        )
        console.view.line(begin + said + end, BOLD if turn.id in live else "")


def is_candidate(session: Session, turn: Turn) -> bool:
    """Whether a turn is one more try for an instruction, which the one that is drawn last beside it has."""
    beside = session.visited.get(turn.parent, turn.id)
    return beside != turn.id and session.get(beside).instruction == turn.instruction and bool(turn.chunk)


def position_mark(console: Console, turn: str) -> str:
    return "  ← now" if console.session.head == turn else ""


def do_pick(console: Console, argument: str) -> None:
    """Lists the candidates for the last turn, or switches to candidate K.

    Candidates with the same code are listed once. Nothing is run or generated again.
    """
    console.turn_number("")
    tries = console.chat.alternatives()
    if len(tries) < 2:
        raise MtchatError("the last turn has only one candidate; /retry 8 generates others")
    if not argument.strip():
        list_candidates(console, tries)
        return
    picked = console.chat.pick(parse_number(argument, "the number of a candidate"))
    console.view.turn(picked.number, picked.turn)
    console.view.say(describe_position(console.session))


def list_candidates(console: Console, tries: Sequence[Turn]) -> None:
    for place, turn in enumerate(tries, start=1):
        now = "  ← now" if turn.id == console.session.head else ""
        said = f"{status_sign(console.session, turn)} {one_line(turn.instruction, 60)}"
        console.view.heading(f"{place}  {said}{now}")
        console.view.code(turn.chunk)
    console.view.note("/pick K switches to candidate K")


def complete_pick(console: Console) -> list[tuple[str, str]]:
    if not console.session.path:
        return []
    tries = enumerate(console.chat.alternatives(), start=1)
    return [(str(place), one_line(turn.chunk.split("\n")[0])) for place, turn in tries]


COMMANDS = (
    Command("undo", do_undo, usage="[N]"),
    Command("redo", do_redo, usage="[N]"),
    Command("goto", do_goto, usage="N|LABEL|BRANCH|start", complete=complete_goto),
    Command("branch", do_branch, usage="[NAME]"),
    Command("tree", do_tree),
    Command("pick", do_pick, usage="[K]", complete=complete_pick),
)
