"""Shows the other tries for the last turn, or makes number K of them the live one.

Those with the same code are shown as one. Nothing is run or read again.
"""

from mtchat.console.captions import describe_position, one_line, status_sign
from mtchat.console.desk import Desk
from mtchat.console.parsing import parse_number
from mtchat.errors import MtchatError, UsageError
from mtchat.session.session import Session
from mtchat.session.turn import Turn

USAGE = "[K]"


def do(desk: Desk, argument: str) -> None:
    desk.number("")
    tries = alternatives(desk.session)
    if len(tries) < 2:
        raise MtchatError("there is only one try for the last turn; /retry 8 draws others")
    if not argument.strip():
        listing(desk, tries)
        return
    chosen = parse_number(argument, "the number of a try")
    if chosen > len(tries):
        raise UsageError(f"there are {len(tries)} tries; /pick shows them")
    desk.keep(desk.session.undo().add(tries[chosen - 1]), "pick")
    desk.view.turn(len(desk.session.path), tries[chosen - 1])
    desk.view.say(describe_position(desk.session))


def alternatives(session: Session) -> list[Turn]:
    """All turns in the place of the last one, each code once; the live one stands for those like it."""
    last = session.path[-1]
    found = {last.chunk: last}
    for turn in session.children(last.parent):
        found.setdefault(turn.chunk, turn)
    order = {turn.id: place for place, turn in enumerate(session.turns)}
    return sorted(found.values(), key=lambda turn: order[turn.id])


def listing(desk: Desk, tries: list[Turn]) -> None:
    for place, turn in enumerate(tries, start=1):
        now = "  ← now" if turn.id == desk.session.head else ""
        said = f"{status_sign(desk.session, turn)} {one_line(turn.instruction, 60)}"
        desk.view.heading(f"{place}  {said}{now}")
        desk.view.code(turn.chunk)
    desk.view.note("/pick K makes one of them the live one")


def complete(desk: Desk) -> list[tuple[str, str]]:
    if not desk.session.path:
        return []
    tries = enumerate(alternatives(desk.session), start=1)
    return [(str(place), one_line(turn.chunk.split("\n")[0])) for place, turn in tries]
