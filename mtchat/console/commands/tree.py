"""Draws all turns of the session: the live conversation down the left side, and what else was tried.

✓ ran, ✗ failed, ■ was interrupted, · was not run, alone or with later turns. Another try for the same
instruction shows its code. (folded) and (forgotten) are what the model is told of a turn. /goto LABEL makes a
turn the last one.
"""

import shutil

from mtchat.console.captions import branch_labels, context_label, one_line, status_sign
from mtchat.console.console import Console
from mtchat.console.view import BOLD
from mtchat.session.outline import outline
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import Turn

WIDTH, LEAST = 60, 16


def do(console: Console, argument: str) -> None:
    session = console.session
    if not session.turns:
        console.view.line("no turns yet; type an instruction")
        return
    start = branch_labels(session, ROOT)
    if start or session.head == ROOT:
        console.view.line(f"(start){start}{here(console, ROOT)}")
    live = {turn.id for turn in session.path}
    for row in outline(session):
        turn = row.turn
        begin = f"{row.lines}{status_sign(session, turn)} {row.label:<3} "
        end = branch_labels(session, turn.id) + context_label(session, turn) + here(console, turn.id)
        room = shutil.get_terminal_size().columns - 1 - len(begin) - len(end)
        said = one_line(turn.chunk if another(session, turn) else turn.shown, max(min(room, WIDTH), LEAST))
        console.view.line(begin + said + end, BOLD if turn.id in live else "")


def another(session: Session, turn: Turn) -> bool:
    """Whether a turn is one more try for an instruction, which the one that is drawn last beside it has."""
    beside = session.visited.get(turn.parent, turn.id)
    return beside != turn.id and session.get(beside).instruction == turn.instruction and bool(turn.chunk)


def here(console: Console, turn: str) -> str:
    return "  ← now" if console.session.head == turn else ""
