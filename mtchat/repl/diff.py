"""How the code of turns has changed, line by line: what a correction did."""

import difflib
from collections.abc import Sequence

from mtchat.repl.view import DIM, GREEN, RED, View
from mtchat.synthesis import Change

AROUND = 2  # unchanged lines that are shown about each change
STYLES = {"+": GREEN, "-": RED, "@": DIM, " ": ""}


def show(view: View, changes: Sequence[Change]) -> None:
    """The changed turns, each with its lines that went and that came."""
    for each in changes:
        if len(changes) > 1:
            view.heading(f"turn {each.number}")
        for line in lines(each):
            view.line(line, STYLES[line[0]])
    if not changes:
        view.note("the code came out the same")


def lines(change: Change) -> list[str]:
    """A unified diff without its head; between parts of it that lie apart, a line of dots."""
    old, new = change.old.split("\n"), change.new.split("\n")
    found = list(difflib.unified_diff(old, new, lineterm="", n=AROUND))[3:]
    return ["@ …" if line.startswith("@@") else line for line in found if line]
