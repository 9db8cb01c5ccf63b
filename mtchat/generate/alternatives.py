"""Several tries for a turn side by side, told by what they do."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.errors import MtchatError
from mtchat.generate.generated_tests import assertions_in
from mtchat.generate.improve import Refinement, stop_on_interrupt
from mtchat.generate.interpretations import Alternatives, interpret
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE

if TYPE_CHECKING:
    from mtchat.generate.turn import TurnGenerator


def sample_alternatives(
    generator: "TurnGenerator", session: Session, sampling: Sampling, count: int
) -> Alternatives:
    """The last turn with so many others drawn beside it and run, each kept in the session; it stays live."""
    look, last, base = generator.look or generator.run, session.path[-1], session.undo()
    if look is None or generator.candidates is None:
        raise MtchatError("tries are compared by what they do, and nothing is run here; /retry asks again")
    tried = len(session.children(last.parent)) - 1
    chosen = replace(sampling, seed=sampling.seed + tried)
    request = generator.step(base, last.instruction, chosen)
    context = generator.fitted(request)
    bettering = Refinement(generator, base, context.prompt, chosen, stop_on_interrupt(look), session)
    provenance = replace(request.provenance, context=context.memory)
    turns = bettering.drawn(count, replace(last, status=COMPLETE, meant="", provenance=provenance))
    candidates = bettering.candidates(turns, base, assertions_in(last.instruction), bettering.made_up())
    grown = session
    for each in candidates:
        outcome = each.session.outcome
        assert outcome is not None
        grown = grown.undo().add(each.turn).inherit(last.id).with_outcome(replace(outcome, variables=()))
    return Alternatives(session.beside(grown), interpret(candidates))
