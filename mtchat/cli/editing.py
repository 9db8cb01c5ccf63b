"""Changes a turn of a session without a terminal, and derives the later ones again."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.core.dependencies import said
from mtchat.core.reference import resolved
from mtchat.core.session import Session
from mtchat.repl.rederiving import report, told, with_name
from mtchat.synthesis.derivation.rederive import judged, never, rederive, stopped

if TYPE_CHECKING:
    from mtchat.cli.scripted import Player


def edit(player: "Player", number: int, instruction: str) -> bool:
    """Turn `number` made again from another instruction, then the later ones; False when the user stopped it.

    Until all is done the old program stays the live one.
    """
    old, view = player.session, player.view
    base = replace(old, head=old.numbered(number).parent)
    if uses := said(old.path, number):
        view.note(f"{uses} of turn {number}")
    player.live = old
    try:
        view.heading(f"{number}› {instruction}")
        wish = resolved(instruction, old)
        made = take(player, base, wish.text, wish.typed, old.numbered(number).id)
        look = player.look if player.maker.run else None
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
            made = player.maker.tried(made)
    except KeyboardInterrupt:
        return False
    finally:
        player.live = None
    if made.outcome is not None and made.outcome.limit == "interrupted":
        return False
    named, name = with_name(made, old.head, f"before-edit-{number}")
    player.keep(named, "edit")
    if derived.steps:
        report(view, old, made, len(derived.steps) - len(derived.again), len(derived.steps))
    view.note(f"the program as it was is branch {name}")
    return True


def take(player: "Player", base: Session, instruction: str, typed: str, replaces: str) -> Session:
    """A turn; KeyboardInterrupt where the user stopped it."""
    sampling = player.script.settings.sampling
    made = player.maker.take(base, instruction, sampling, typed=typed, replaces=replaces)
    if stopped(made, base):
        raise KeyboardInterrupt
    return made
