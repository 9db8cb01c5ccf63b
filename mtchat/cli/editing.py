"""Changes a turn of a session without a terminal, and derives the later ones again."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.conversation.editing import name_branch
from mtchat.features.infill.fill import filled
from mtchat.features.regenerate.regenerate import judged, never, rederive, stopped, written
from mtchat.features.regenerate.view import report, told
from mtchat.session.dependencies import said
from mtchat.session.hole import first_hole
from mtchat.session.reference import resolved
from mtchat.session.session import Session

if TYPE_CHECKING:
    from mtchat.cli.scripted import Player


def edit(player: "Player", number: int, instruction: str) -> bool:
    """Turn `number` made again from another instruction, then the later ones; False when that was stopped."""
    old = player.session
    replaces = old.numbered(number).id
    wish = resolved(instruction, old)

    def change(base: Session) -> Session:
        player.view.heading(f"{number}› {instruction}")
        return take(player, base, wish.text, wish.typed, replaces)

    return replaced(player, number, change)


def recode(player: "Player", number: int, code: str) -> bool:
    """Turn `number` with code that the user wrote, its holes filled, then the later ones."""
    old, view = player.session, player.view

    def change(base: Session) -> Session:
        new, filler = code, ""
        if first_hole(code):
            player.save(written(old, number, code))
            generator = replace(player.generator, look=player.look if player.generator.run else None)
            new = filled(generator, old, number, code, player.script.settings.sampling)
            filler = generator.card.name
            view.diff(code, new)
        made = written(old.beside(player.session), number, new, filler)
        player.save(made)
        made = player.generator.tried(made)
        if stopped(made, base):
            raise KeyboardInterrupt
        return made

    return replaced(player, number, change)


def replaced(player: "Player", number: int, change: Callable[[Session], Session]) -> bool:
    """Another turn in the place of one, and what comes of the later ones; False when the user stopped it.

    Until all is done the old program stays the live one.
    """
    old, view = player.session, player.view
    base = replace(old, head=old.numbered(number).parent)
    if uses := said(old.path, number):
        view.note(f"{uses} of turn {number}")
    player.live = old
    try:
        made = change(base)
        look = player.look if player.generator.run else None
        derived = rederive(
            old,
            made,
            lambda on, turn: take(player, on, turn.wish, turn.typed, turn.id),
            look,
            judged if old.language.runs else never,
            tell=lambda step, on: told(view, step),
        )
        made = derived.session
        if derived.steps and not derived.steps[-1].again:
            made = player.generator.tried(made)
    except KeyboardInterrupt:
        return False
    finally:
        player.live = None
    if made.outcome is not None and made.outcome.stopped:
        return False
    named, name = name_branch(made, old.head, f"before-edit-{number}")
    player.keep(named, "edit")
    if derived.steps:
        report(view, old, made, len(derived.steps) - len(derived.again), len(derived.steps))
    view.note(f"the program as it was is branch {name}")
    return True


def take(player: "Player", base: Session, instruction: str, typed: str, replaces: str) -> Session:
    """A turn; KeyboardInterrupt where the user stopped it."""
    sampling = player.script.settings.sampling
    made = player.generator.take(base, instruction, sampling, typed=typed, replaces=replaces)
    if stopped(made, base):
        raise KeyboardInterrupt
    return made
