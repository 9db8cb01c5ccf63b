"""Puts a program that was written at once in the place of the turns of a session, each with its own part."""

from collections.abc import Sequence
from dataclasses import replace

from mtchat.generate.align import divide, drop_numbers, whole_program
from mtchat.session.prompt import Usage
from mtchat.session.provenance import Rewrite
from mtchat.session.session import ROOT, Session
from mtchat.session.text import join_words
from mtchat.session.turn import EDITED, WHOLE, Turn, TurnOptions


def can_rewrite(path: Sequence[Turn]) -> bool:
    """Whether all of a program comes from instructions, and from more than one: the user's code stays."""
    return len(path) > 1 and not any(turn.status == EDITED for turn in path)


def spread_over_turns(session: Session, whole: Turn, together: bool = False) -> Session:
    """The session on a new branch whose turns have the parts of a program, which `whole` has.

    Turns whose parts cannot be told apart become one, and with `together` all of them do.
    """
    assert isinstance(whole.provenance, Rewrite)
    old = session.path_to(whole.provenance.of)
    parts = (whole_program(whole.chunk, old),) if together else divide(whole.chunk, old)
    made = replace(session, head=ROOT, branch="")
    for part in parts:
        mine, is_last = old[part.first - 1 : part.last], part.last == len(old)
        turn = Turn(
            join_instructions(mine),
            drop_numbers(part.code, old),
            made.head,
            whole.status,
            replace(
                whole.provenance,
                steps=(part.first, part.last),
                thought=whole.provenance.thought if is_last else "",
            ),
            whole.usage if is_last else Usage(),
            meant=mine[0].meant if len(mine) == 1 else "",
            typed=mine[0].typed if len(mine) == 1 else "",
        )
        made = made.add(turn)
        made = made.with_options(made.head, join_options([session.options_of(each.id) for each in mine]))
    if session.branch:
        made = replace(made, branches={**session.branches, session.branch: made.head}, branch=session.branch)
    return made


def join_instructions(turns: Sequence[Turn]) -> str:
    """One instruction for what several turns were asked for."""
    if len(turns) == 1:
        return turns[0].instruction
    return "\n".join(turn.full_instruction for turn in turns)


def join_options(options: Sequence[TurnOptions]) -> TurnOptions:
    """What the user decided about several turns, for the one that takes their place."""
    checks = dict.fromkeys(check for each in options for check in each.checks)
    contexts = {each.context for each in options}
    return TurnOptions(tuple(checks), contexts.pop() if len(contexts) == 1 else WHOLE)


def describe_joined(path: Sequence[Turn]) -> str:
    """Which turns became one because their parts could not be told apart; "" where none did."""
    found = []
    for number, turn in enumerate(path, start=1):
        made = turn.provenance
        if isinstance(made, Rewrite) and made.steps and made.steps[0] < made.steps[-1]:
            first, last = made.steps
            link = "and" if last == first + 1 else "to"
            found.append(f"turns {first} {link} {last} are now turn {number}")
    if not found:
        return ""
    return f"the rewritten code does not keep all steps apart: {join_words(found)}"
