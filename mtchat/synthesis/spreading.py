"""Several tries for a turn side by side, told by what they do."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.core.session import Session
from mtchat.core.settings import Sampling
from mtchat.errors import MtchatError
from mtchat.synthesis.bettering import Bettering, uninterrupted
from mtchat.synthesis.checks import told
from mtchat.synthesis.readings import Spread, readings

if TYPE_CHECKING:
    from mtchat.synthesis.synthesizer import Synthesizer


def spread(maker: "Synthesizer", session: Session, sampling: Sampling, count: int) -> Spread:
    """The last turn with so many others drawn beside it and run, each kept in the session; it stays live."""
    look, last, base = maker.look or maker.run, session.path[-1], session.undo()
    if look is None or maker.candidates is None:
        raise MtchatError("tries are compared by what they do, and nothing is run here; /retry asks again")
    tried = len(session.children(last.parent)) - 1
    prompt = maker.context(base, last.instruction, sampling).prompt
    chosen = replace(sampling, seed=sampling.seed + tried)
    bettering = Bettering(maker, base, prompt, chosen, uninterrupted(look), session)
    turns = bettering.drawn(count)
    candidates = bettering.candidates(turns, base, told(last.instruction), bettering.made_up())
    grown = session
    for each in candidates:
        outcome = each.session.outcome
        assert outcome is not None
        grown = grown.undo().add(each.turn).inherit(last.id).with_outcome(replace(outcome, variables=()))
    back = replace(grown, head=session.head, visited=session.visited)
    return Spread(replace(back, branches=session.branches, branch=session.branch), readings(candidates))
