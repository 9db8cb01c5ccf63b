"""Replaces a turn in the middle and regenerates the later ones; the old program stays beside the new one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mtchat.conversation.live import LiveSession
from mtchat.features.infill.fill import fill_holes
from mtchat.features.own_code.user_code import with_user_code
from mtchat.features.regenerate.regenerate import (
    Decide,
    OnStep,
    ignore_step,
    never,
    regenerate,
    was_stopped,
    when_stale,
)
from mtchat.generate.events import ContextFitted, Event
from mtchat.generate.execute import RunProgram, carry_over
from mtchat.generate.improve import take
from mtchat.generate.judge.regressions import broken_beside
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn

MakeTurn = Callable[[Session], Session]
OnBase = Callable[[Session], None]


@dataclass(frozen=True)
class EditResult:
    """What came of a change: the session before and after it, and how many `later` turns were `same`.

    `branch` is the name of the program as it was; "" if the user did not let the new turn run, so that the
    later turns were carried over unchanged.
    """

    before: Session
    after: Session
    later: int
    same: int
    branch: str

    @property
    def broken(self) -> tuple[int, ...]:
        """The turns that fail, print something else or fail a check though they used nothing that changed."""
        return broken_beside(self.before, self.after)


@dataclass
class TurnEditor:
    """Makes turns beside the live program. `on_base` gets the session that each one is built on.

    `dry_run` runs a program quietly to see whether a later turn still fits; without it only the code is
    judged.
    """

    live: LiveSession
    on_base: OnBase = lambda base: None
    on_step: OnStep = ignore_step
    decide: Decide | None = None
    dry_run: RunProgram | None = None

    def reword(self, number: int, instruction: str) -> EditResult:
        """Turn `number` generated from another instruction, then the later ones."""
        said = self.live.resolve_references(instruction)
        turn = self.live.session.turn_at(number).id
        return self.replace_turn(number, lambda base: self.make_turn(base, said.text, said.typed, turn))

    def recode(self, number: int, code: str, filler: str = "") -> EditResult:
        """Turn `number` with code that the user wrote, its holes filled by `filler`; then the rest."""
        old = self.live.session

        def change(base: Session) -> Session:
            made = with_user_code(old, number, code, filler)
            self.live.save_turn(made)
            return self.live.run_session(made)

        return self.replace_turn(number, change)

    def replace_turn(self, number: int, change: MakeTurn) -> EditResult:
        """Another turn in the place of one, and what becomes of the later ones.

        KeyboardInterrupt if the user stops that: the program is as it was.
        """
        live, old = self.live, self.live.session
        later = len(old.path) - number
        with live.beside(old):
            base = old.undo(later + 1)
            self.on_base(base)
            made = change(base)
            if was_stopped(made, base) and (later or not is_complete(made, base)):
                raise KeyboardInterrupt
            if live.questions is not None and live.questions.declined:  # nothing is built on what may not run
                return self.finish(EditResult(old, carry_over(made, old.path[number:]), later, later, ""))
            made, same = self.regenerate(old, made) if later else (made, 0)
        named, name = name_branch(made, old.head, f"before-edit-{number}")
        return self.finish(EditResult(old, named, later, same, name))

    def finish(self, edit: EditResult) -> EditResult:
        self.live.keep(edit.after, "edit")
        return edit

    def regenerate(self, old: Session, made: Session) -> tuple[Session, int]:
        """The session with the later turns, each kept or generated again, and how many were kept."""
        usual = (
            when_stale if old.language.runs else never
        )  # whether code still fits is told by Python's names
        found = regenerate(old, made, self.regenerate_turn, self.dry_run, self.decide or usual, self.on_step)
        session = found.session
        if found.steps and not found.steps[-1].regenerated:
            session = self.live.run_session(session)
        if session.outcome is not None and session.outcome.stopped:
            raise KeyboardInterrupt
        return session, len(found.steps) - len(found.regenerated)

    def regenerate_turn(self, base: Session, turn: Turn) -> Session:
        """A turn with the instruction of another, whose checks hold for it from the start."""
        self.on_base(base)
        return self.make_turn(base, turn.full_instruction, turn.typed, turn.id)

    def make_turn(self, base: Session, instruction: str, typed: str, replaces: str) -> Session:
        """A turn after those of `base`, which stay as they are."""
        sampling, generator = self.live.settings.sampling, self.live.generator()
        generator = replace(generator, policy=replace(generator.policy, rewrites=0))
        return take(generator, base, instruction, sampling, typed=typed, replaces=replaces)


def is_complete(made: Session, base: Session) -> bool:
    """Whether a turn was written to its end: as with any last turn, only its run was stopped then."""
    return made.head != base.head and made.path[-1].status != INTERRUPTED


def drop_turn(live: LiveSession, number: int) -> EditResult:
    """The program without a turn: the later ones keep their code. It has not run yet."""
    old = live.session
    old.turn_at(number)  # or the error that there is no such turn
    later = len(old.path) - number
    made, name = name_branch(without_turn(old, number), old.head, f"before-drop-{number}")
    live.keep(made, "drop")
    return EditResult(old, made, later, later, name)


def without_turn(session: Session, number: int) -> Session:
    """The session without a turn; the later ones keep their code."""
    return carry_over(session.undo(len(session.path) - number + 1), session.path[number:])


def fill_turn(live: LiveSession, number: int, code: str) -> str:
    """The code for a turn with each hole filled; the code with its holes is kept whatever comes.

    Which turns are folded so that the context fits is told once.
    """
    live.keep(live.session.with_alternatives(with_user_code(live.session, number, code)), "edit")
    seen: list[ContextFitted] = []

    def on_event(event: Event) -> None:
        if isinstance(event, ContextFitted) and event not in seen:
            seen.append(event)

    generator = replace(live.generator(on_event), complete=live.model.complete)
    with live.waiting(lambda: "filling the hole", str):
        code = fill_holes(generator, live.session, number, code, live.settings.sampling)
    for event in seen:
        live.on_event(event)
    return code


def name_branch(session: Session, end: str, stem: str) -> tuple[Session, str]:
    """The session with a name for the branch that ends at a turn, and that name; an old name stays."""
    for name, known_end in session.branches.items():
        if known_end == end:
            return session, name
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in session.branches:
        number += 1
    return replace(session, branches={**session.branches, name: end}), name
