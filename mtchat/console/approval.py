"""Asks before code is run: Enter runs it, anything else leaves it written and not run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtchat import plugins
from mtchat.console import slash
from mtchat.console.captions import describe_position
from mtchat.console.view import View
from mtchat.generate.running import Declined
from mtchat.session.session import Session

if TYPE_CHECKING:
    from mtchat.console.desk import Desk

CHOICES = "[Enter run, e edit, r retry, u undo, a auto] "
EXPLAINED = (
    "Enter runs the code; e changes the instruction, r asks the model again, u takes the turn back, "
    "a runs all code from now on, a 5 that of this and the next 5 turns; Ctrl-C runs nothing"
)
COMMANDS = {"e": "edit", "edit": "edit", "r": "retry", "retry": "retry", "u": "undo", "undo": "undo"}


def enter(label: str) -> str:
    """The answer where nobody can be asked."""
    return ""


@dataclass
class Approval:
    """Whether code may run. `confirm` asks the user; an interrupt is a no.

    `left` turns run without being asked about, all of them where `always` is on. `declined` says that the
    last answer was no; `chosen` is what the user wanted in place of a run, of edit, retry and undo.
    """

    view: View
    confirm: Callable[[str], str] = enter
    left: int = 0
    always: bool = False
    declined: bool = False
    chosen: str = ""

    def approve(self) -> None:
        """Comes back where the code may run, and raises Declined where it may not."""
        self.reset()
        if self.always:
            return
        if self.left:
            self.left -= 1
            return
        self.view.erase()
        try:
            while not self.settled(self.confirm(CHOICES)):
                self.view.note(EXPLAINED)
        except (KeyboardInterrupt, EOFError):
            self.view.erase()
            self.declined = True
            raise Declined from None
        if self.chosen:
            self.declined = True
            raise Declined

    def reset(self) -> None:
        self.declined, self.chosen = False, ""

    def settled(self, answer: str) -> bool:
        """Takes an answer; whether it is one."""
        word, *rest = answer.lower().removeprefix("/").split() or [""]
        if word in COMMANDS and not rest:
            self.chosen = COMMANDS[word]
        elif word in ("a", "auto") and not rest:
            self.always = True
            self.view.note("run is on: code runs without being asked about; /set run ask asks again")
        elif word in ("a", "auto") and len(rest) == 1 and is_count(rest[0]):
            self.left = int(rest[0])
            self.view.note(f"this turn and the next {self.left} run without being asked about")
        else:
            return not word
        return True


def is_count(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 5 and int(word) >= 1


def follow(desk: "Desk", before: Session) -> bool:
    """Does what the user wanted in place of a run of what was made from the session `before`, if anything."""
    approval, path = desk.approval, desk.session.path
    declined, chosen = approval.declined, approval.chosen
    approval.reset()
    if not declined:
        return False
    number = next((place for place, turn in enumerate(path, start=1) if turn not in before.path), len(path))
    if chosen == "undo":
        desk.keep(desk.session.move(before.head), "undo")
        desk.view.say(describe_position(desk.session))
    elif chosen == "edit":
        plugins.load(slash.COMMANDS, "edit").do(desk, str(number))
    elif chosen == "retry" and number == len(path):
        plugins.load(slash.COMMANDS, "retry").do(desk, "")
    else:
        hint = "; the last turn alone can be asked for again, /edit changes others" if chosen else ""
        desk.view.note(f"not run; /run runs it{hint}")
    return True
