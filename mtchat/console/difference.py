"""Shows how two programs differ: lines that went and lines that came, with a few around them."""

from collections.abc import Sequence
from difflib import unified_diff

from mtchat.console.view import DIM, GREEN, RED, View
from mtchat.generate.events import ChunkChange

AROUND = 2
MOST = 60
STYLES = {"-": RED, "+": GREEN}
GAP = "…"


def difference(old: str, new: str, around: int = AROUND) -> list[str]:
    """Lines that went begin with "- ", new ones with "+ ", those around them with two spaces.

    A line of dots stands where some are left out; nothing where the sources are the same.
    """
    lines = list(unified_diff(old.splitlines(), new.splitlines(), n=around, lineterm=""))[3:]
    return [GAP if line.startswith("@@") else f"{line[0]} {line[1:]}" for line in lines]


def show(view: View, old: str, new: str, most: int = MOST) -> None:
    """The difference of two sources in colours, at most so many lines of it."""
    lines = difference(old, new)
    for line in lines[:most]:
        view.line(line, STYLES.get(line[:1], DIM))
    if len(lines) > most:
        view.note(f"… {len(lines) - most} more lines; /show shows the program")


def show_changes(view: View, changes: Sequence[ChunkChange]) -> None:
    """Each turn that changed, with its lines that went and that came."""
    for each in changes:
        if len(changes) > 1:
            view.heading(f"turn {each.number}")
        show(view, each.old, each.new)
    if not changes:
        view.note("the code came out the same")
