"""Tells the model nothing of turn K any more; the program keeps its code.

K may be several turns, as in /forget 1-3 5. It says which later turns use names of K. /forget -d K, or
/unfold K, tells the turn again.
"""

from mtchat.console.console import Console
from mtchat.features.context.view import parse_turns, set_context, turn_choices
from mtchat.session.dependencies import said
from mtchat.session.mark import FORGOTTEN, WHOLE
from mtchat.session.names import bound

USAGE = "[-d] K..."
MOST = 8  # names that are told


def do(console: Console, argument: str) -> None:
    word, _, rest = argument.strip().partition(" ")
    if word == "-d":
        recall(console, rest)
        return
    for number in parse_turns(console.session, argument, "forget"):
        console.chat.keep(set_context(console.session, number, FORGOTTEN), "forget")
        console.view.say(
            f"turn {number} is forgotten: the program keeps its code, and the model sees nothing of it"
        )
        used(console, number)


def recall(console: Console, argument: str) -> None:
    for number in parse_turns(console.session, argument, "tell again"):
        if console.session.mark(console.session.numbered(number).id).context != FORGOTTEN:
            console.view.note(f"turn {number} is not forgotten")
            continue
        console.chat.keep(set_context(console.session, number, WHOLE), "forget")
        console.view.say(f"turn {number} was forgotten; the model sees all of it again")


def used(console: Console, number: int) -> None:
    """Says what the model no longer knows, and where that is used."""
    if uses := said(console.session.path, number):
        console.view.note(f"{uses}, which the model no longer sees")
    names = tuple(sorted(bound(console.session.numbered(number).chunk)))
    if names:
        what = f"{listed(names)} {'is' if len(names) == 1 else 'are'}"
        console.view.note(f"tell a new turn that needs it what {what}; /unfold {number} tells all again")


def listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def complete(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)
