"""Replaces a turn in the middle and derives the later ones again; the old program stays beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mtchat.console.captions import one_line, short_path
from mtchat.console.desk import Desk
from mtchat.console.view import View
from mtchat.console.writing import Writing
from mtchat.errors import UsageError
from mtchat.features.regenerate.regenerate import Step, always, judged, never, rederive, stopped, written
from mtchat.generate.events import CandidateChosen, Event, TurnWritten
from mtchat.generate.running import kept, tried
from mtchat.session.dependencies import said as used
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn

ASK = "--ask"
WAYS = {"--keep": never, "--all": always}
FLAGS = (ASK, *WAYS)
KEEP, AGAIN = "keep", "again"


@dataclass(frozen=True)
class Words:
    """What a command was given: a flag, "" for none, and the rest of the line."""

    flag: str
    rest: str


def words(argument: str) -> Words:
    """Takes the flag out of a command's argument: it stands before or after the number of the turn."""
    first, *others = argument.split(maxsplit=1) or [""]
    if first.startswith("--"):
        return Words(known(first), "".join(others))
    second, *rest = "".join(others).split(maxsplit=1) or [""]
    if first.isdecimal() and second.startswith("--"):
        return Words(known(second), " ".join([first, *rest]))
    return Words("", argument)


def known(flag: str) -> str:
    if flag not in FLAGS:
        raise UsageError(f"no {flag[:40]!r}; there are {', '.join(FLAGS)}")
    return flag


def reword(desk: Desk, number: int, instruction: str, flag: str = "") -> None:
    """Turn `number` made again from another instruction, then the later ones."""

    said = desk.resolved(instruction)

    def change(work: "Work", base: Session) -> Session:
        desk.view.heading(f"{number}› {instruction}")
        return work.take(base, said.text, said.typed, work.live.numbered(number).id)

    replaced(desk, number, change, flag)


def recode(desk: Desk, number: int, code: str, flag: str = "", filled: str = "") -> None:
    """Turn `number` with code that the user wrote, its holes `filled` by a model, then the later ones."""

    def change(work: "Work", base: Session) -> Session:
        made = written(work.live, number, code, filled)
        work.save(made)
        return tried(made, desk.runner(), work.watch)

    replaced(desk, number, change, flag)


def replaced(desk: Desk, number: int, change: "Callable[[Work, Session], Session]", flag: str) -> None:
    """Another turn in the place of one, and what comes of the later ones; what is stopped changes nothing."""
    desk.approval.reset()
    old = desk.session
    later = len(old.path) - number
    if uses := used(old.path, number):
        desk.view.note(f"{uses} of turn {number}")
    work = Work(desk, old, number)
    try:
        base = old.undo(later + 1)
        made = change(work, base)
        if stopped(made, base) and (later or not written_whole(made, base)):
            raise KeyboardInterrupt
        if desk.approval.declined:  # what is not to run is not gone on from
            desk.finish(old, kept(made, old.path[number:]), "edit")
            return
        made, same = derived(work, old, made, flag) if later else (made, 0)
    except KeyboardInterrupt:
        desk.approval.reset()
        desk.view.erase()
        desk.view.note("stopped; the program is as it was, and what was made by then is in /tree")
        return
    named, name = with_name(made, old.head, f"before-edit-{number}")
    desk.finish(old, named, "edit")
    if later:
        desk.view.line()
        report(desk.view, old, made, same, later)
    desk.view.note(f"/goto {name} goes back to the program as it was")


def written_whole(made: Session, base: Session) -> bool:
    """Whether a turn was written to its end: as with any last turn, only its run was stopped then."""
    return made.head != base.head and made.path[-1].status != INTERRUPTED


def derived(work: "Work", old: Session, made: Session, flag: str) -> tuple[Session, int]:
    """The session with the later turns derived again and run, and how many of them are kept."""
    desk = work.desk

    def look(program: Program) -> Outcome:
        with desk.view.waiting(lambda: "looking at the later turns"):
            return desk.trial(program)

    usual = judged if old.language.runs else never  # whether code still fits is told by Python's names
    decide = work.asked if flag == ASK else WAYS.get(flag, usual)
    found = rederive(old, made, work.again, look if desk.looks else None, decide, work.tell)
    run = desk.runner() if found.steps and not found.steps[-1].again else None
    session = tried(found.session, run, work.watch)
    if session.outcome is not None and session.outcome.stopped:
        raise KeyboardInterrupt
    return session, len(found.steps) - len(found.again)


def with_name(session: Session, end: str, stem: str) -> tuple[Session, str]:
    """The session with a name for the branch that ends at a turn, and that name; one that it has stays."""
    for name, known_end in session.branches.items():
        if known_end == end:
            return session, name
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in session.branches:
        number += 1
    return replace(session, branches={**session.branches, name: end}), name


def told(view: View, step: Step) -> None:
    """One line for a turn that is kept; the instruction of one that is made again, and why it is."""
    if step.worse:
        view.note(f"turn {step.number} is kept as it was after all: that is worse")
    elif step.again:
        view.heading(f"{step.number}› {step.turn.shown}")
        view.note(f"made again: {step.reason}" if step.reason else "made again, though it still fits")
    else:
        view.note(f"turn {step.number} is kept" + (f", though {step.reason}" if step.reason else ""))


def report(view: View, old: Session, made: Session, same: int, later: int) -> None:
    """How the program has changed, and how many of its later turns are kept."""
    view.diff(old.program.source, made.program.source)
    view.note(f"kept {same} of {later} later turn{'' if later == 1 else 's'}")


@dataclass
class Work:
    """Turns from `number` on, made beside the `live` program, which stays: each is shown and saved."""

    desk: Desk
    live: Session
    number: int
    show: Writing = field(init=False)

    def __post_init__(self) -> None:
        self.begin(self.live, self.live.outcome.outputs if self.live.outcome else ())

    def begin(self, base: Session, known: tuple[str, ...]) -> None:
        """From now on a turn on top of a session is shown, and what turns print otherwise than is known."""
        desk, ahead = self.desk, int(bool(base.preamble.strip()))
        self.show = Writing(
            desk.view,
            base.program.source,
            short_path(desk.place),
            desk.hint,
            beside=True,
            since=self.number,
            known=known,
            ahead=ahead,
        )

    def again(self, base: Session, turn: Turn) -> Session:
        """A turn with the instruction of another, whose checks hold for it from the start."""
        return self.take(base, turn.wish, turn.typed, turn.id)

    def take(self, base: Session, instruction: str, typed: str, replaces: str) -> Session:
        generator = replace(self.desk.generator(), on_event=self.watch)
        self.begin(base, self.show.known)
        sampling = self.desk.settings.sampling
        made = generator.take(base, instruction, sampling, typed=typed, replaces=replaces)
        self.desk.view.erase()
        return made

    def watch(self, event: Event) -> None:
        if isinstance(event, TurnWritten | CandidateChosen):
            self.save(event.session)
        self.show(event)

    def save(self, made: Session) -> None:
        self.desk.keep(self.live.beside(made), "turn")

    def tell(self, step: Step, session: Session) -> None:
        told(self.desk.view, step)

    def asked(self, step: Step) -> bool:
        """What the user says; Enter leaves it at what would be done unasked, which is told first."""
        usual = judged(step)
        if self.desk.answer is None:
            return usual
        choice = f"[{AGAIN}] or {KEEP}" if usual else f"[{KEEP}] or {AGAIN}"
        wish = one_line(step.turn.shown, 40)
        label = f"{step.number}› {wish}: {step.reason or 'it still fits'}. {choice}? "
        while (answer := self.desk.answer(label)) is not None:
            word = answer.strip().lower()
            if not word:
                return usual
            if KEEP.startswith(word) or AGAIN.startswith(word):
                return AGAIN.startswith(word)
            self.desk.view.note(f"{KEEP} or {AGAIN}; Ctrl-C leaves the program as it was")
        raise KeyboardInterrupt
