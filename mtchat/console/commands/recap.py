"""Writes the whole program anew from all instructions at once, and lets you choose which one goes on.

The new program is run, and its differences from the present one are shown. The one that you do not choose
stays in the session as a branch with a name. /recap new takes the new one without asking; where nobody can be
asked, the present one stays.
"""

import itertools
from dataclasses import replace

from mtchat.console.captions import describe_position
from mtchat.console.desk import Desk
from mtchat.console.writing import Writing
from mtchat.errors import UsageError
from mtchat.features.rework.recap import recapped
from mtchat.generate.events import Event, TurnWritten
from mtchat.generate.running import unended
from mtchat.session.outcome import Outcome
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED

USAGE = "[new]"
NEW, NOW = "new", "now"
QUESTION = "which one goes on, new or now? (Enter keeps the present one) "
AS_IT_WAS = "the program is as it was"


def do(desk: Desk, argument: str) -> None:
    if argument.strip() not in ("", NEW):
        raise UsageError(f"/recap takes only {NEW}, which goes on with the new program without asking")
    desk.number("")
    before = desk.session
    generator = replace(desk.generator(), on_event=Beside(desk))
    made = recapped(generator, before, desk.settings.sampling)
    if made is before:
        desk.view.say(f"nothing was written; {AS_IT_WAS}")
    elif made.path[-1].status == INTERRUPTED:
        desk.view.say(AS_IT_WAS)
    elif not compared(desk, made):
        desk.view.say("the new program is the present one, line by line")
    elif argument.strip() == NEW or wanted(desk):
        take(desk, made.head)
    else:
        leave(desk, made.head)


class Beside:
    """Shows a program while it is written, and has it in the session's file beside the live one."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.show = Writing(desk.view, hint=desk.hint)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TurnWritten):
            self.desk.keep(beside(event.session, self.desk.session), "recap")
        self.show(event)


def beside(made: Session, live: Session) -> Session:
    """What is new in a session, with the conversation of another one live."""
    visited = {**made.visited, **live.visited}
    return replace(live.beside(made), visited=visited)


def compared(desk: Desk, made: Session) -> bool:
    """Runs the new program where programs are run, and shows how it differs; False where it does not."""
    live = desk.session
    old, new = live.program.source, made.program.source
    if old == new:
        return False
    if desk.freely and desk.runner() is not None:
        made = ran(desk, made)
        if unended(live.outcome):
            made = replace(made, outcomes={**made.outcomes, **ran(desk, live).outcomes})
        desk.keep(beside(made, live), "recap")
    desk.view.heading("the new program (+) and the present one (-)")
    desk.view.diff(old, new)
    outputs(desk, desk.session.outcome, made.outcome)
    return True


def ran(desk: Desk, session: Session) -> Session:
    """A session with what its program does; the files that it leaves stay where they are."""
    return session.with_outcome(desk.resume(session.program, None))


def outputs(desk: Desk, old: Outcome | None, new: Outcome | None) -> None:
    """What each of the programs prints, and how it ends; once where that is the same."""
    if old is None or new is None:
        desk.view.note("neither was run")
    elif (old.stdout, old.error) == (new.stdout, new.error):
        output(desk, "both print", new)
    else:
        output(desk, "the present one prints", old)
        output(desk, "the new one prints", new)


def output(desk: Desk, words: str, outcome: Outcome) -> None:
    desk.view.heading(f"{words}:" if outcome.stdout.strip() else f"{words} nothing")
    desk.view.output(outcome.stdout)
    desk.view.verdict(outcome, desk.hint(outcome))


def wanted(desk: Desk) -> bool:
    """Whether the user goes on with the new program; not where nobody can be asked."""
    while desk.answer is not None:
        word = (desk.answer(QUESTION) or NOW).strip().lower()
        if word in (NEW, NOW, ""):
            return word == NEW
        wait = "; Ctrl-C keeps the present one, then commands work again" if word.startswith("/") else ""
        desk.view.note(f"type {NEW}, or {NOW}, or Enter{wait}")
    return False


def take(desk: Desk, head: str) -> None:
    """Goes on with the new program; the branch's name goes along, and the old end gets one of its own."""
    old = desk.session
    name = free(old, "before-recap", old.head)
    branches = {**old.branches, name: old.head}
    if old.branch:
        branches[old.branch] = head
    desk.keep(replace(old.move(head), branches=branches), "recap")
    if desk.freely and desk.runner() is not None:  # for the files that it leaves
        desk.keep(desk.session.with_outcome(desk.run(desk.session.program)), "recap")
    desk.view.say(describe_position(desk.session))
    desk.view.note(f"this turn has the whole program; /goto {name} goes back to the one before")


def leave(desk: Desk, head: str) -> None:
    """Goes on with the present program; the new one gets a name."""
    name = free(desk.session, "recap", head)
    desk.keep(replace(desk.session, branches={**desk.session.branches, name: head}), "recap")
    desk.view.say(f"{AS_IT_WAS}; /goto {name} goes to the new one")


def free(session: Session, name: str, end: str) -> str:
    """A name for the end of a branch, numbered where another branch has it."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if session.branches.get(each, end) == end)


def complete(desk: Desk) -> list[tuple[str, str]]:
    return [(NEW, "goes on with the new program without asking")]
