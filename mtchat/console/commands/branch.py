"""Gives the live branch a name, which goes along with its new turns; without NAME it lists the branches.

/goto NAME comes back to it from anywhere.
"""

from mtchat.console.captions import one_line
from mtchat.console.console import Console
from mtchat.errors import UsageError
from mtchat.session.outline import labels
from mtchat.session.session import ROOT

USAGE = "[NAME]"
LONGEST = 40
START = "start"


def do(console: Console, argument: str) -> None:
    name = argument.strip()
    if not name:
        listing(console)
        return
    if not name[0].isalpha() or len(name.split()) > 1 or len(name) > LONGEST:
        raise UsageError(
            f"the name of a branch is a word that begins with a letter, not {one_line(name, 40)!r}"
        )
    if name == START:
        raise UsageError(f"{START} is where every branch begins; give this one another name")
    if name in console.session.branches:
        raise UsageError(f"there is a branch {name!r} already; /goto {name} goes to its end")
    console.chat.keep(console.session.name_branch(name), "branch")
    console.view.say(f"this branch is {name!r} now; /goto {name} comes back to its end")


def listing(console: Console) -> None:
    session = console.session
    if not session.branches:
        console.view.say("no branch has a name; /branch NAME names this one, /tree shows all")
    known = {**labels(session), ROOT: "start"}
    for name, end in session.branches.items():
        mark = "*" if name == session.branch else " "
        said = one_line(session.get(end).instruction) if end else ""
        console.view.line(f"{mark} {name:<16} {known[end]:<5} {said}".rstrip())
