"""Shows the other tries for the last turn, or makes number K of them the live one.

Those with the same code are shown as one. Nothing is run or read again.
"""

from mtchat.console.captions import describe_position, one_line, status_sign
from mtchat.console.console import Console
from mtchat.console.parsing import parse_number
from mtchat.errors import MtchatError, UsageError
from mtchat.session.session import Session
from mtchat.session.turn import Turn

USAGE = "[K]"


def do(console: Console, argument: str) -> None:
    console.number("")
    tries = alternatives(console.session)
    if len(tries) < 2:
        raise MtchatError("there is only one try for the last turn; /retry 8 draws others")
    if not argument.strip():
        listing(console, tries)
        return
    chosen = parse_number(argument, "the number of a try")
    if chosen > len(tries):
        raise UsageError(f"there are {len(tries)} tries; /pick shows them")
    console.chat.keep(console.session.undo().add(tries[chosen - 1]), "pick")
    console.view.turn(len(console.session.path), tries[chosen - 1])
    console.view.say(describe_position(console.session))


def alternatives(session: Session) -> list[Turn]:
    """All turns in the place of the last one, each code once; the live one stands for those like it."""
    last = session.path[-1]
    found = {last.chunk: last}
    for turn in session.children(last.parent):
        found.setdefault(turn.chunk, turn)
    order = {turn.id: place for place, turn in enumerate(session.turns)}
    return sorted(found.values(), key=lambda turn: order[turn.id])


def listing(console: Console, tries: list[Turn]) -> None:
    for place, turn in enumerate(tries, start=1):
        now = "  ← now" if turn.id == console.session.head else ""
        said = f"{status_sign(console.session, turn)} {one_line(turn.instruction, 60)}"
        console.view.heading(f"{place}  {said}{now}")
        console.view.code(turn.chunk)
    console.view.note("/pick K makes one of them the live one")


def complete(console: Console) -> list[tuple[str, str]]:
    if not console.session.path:
        return []
    tries = enumerate(alternatives(console.session), start=1)
    return [(str(place), one_line(turn.chunk.split("\n")[0])) for place, turn in tries]
