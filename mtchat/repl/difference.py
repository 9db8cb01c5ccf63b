"""Shows how two programs differ: lines that went and lines that came, with a few around them."""

from difflib import unified_diff

from mtchat.repl.view import DIM, GREEN, RED, View

AROUND = 2
MOST = 60
STYLES = {"-": RED, "+": GREEN, "@": DIM}


def difference(old: str, new: str, around: int = AROUND) -> list[str]:
    """The lines of a unified diff without its two file names; none where the sources are the same."""
    lines = unified_diff(old.splitlines(), new.splitlines(), n=around, lineterm="")
    return list(lines)[2:]


def show(view: View, old: str, new: str, most: int = MOST) -> None:
    """The difference of two sources in colours, at most so many lines of it."""
    lines = difference(old, new)
    for line in lines[:most]:
        view.line(line, STYLES.get(line[:1], ""))
    if len(lines) > most:
        view.note(f"… {len(lines) - most} more lines; /show shows the program")
