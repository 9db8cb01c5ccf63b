"""Writes the whole program again from all instructions at once, beside the one that grew turn by turn."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.errors import MtchatError
from mtchat.generate.complete import longer_sampling, warmer
from mtchat.generate.context import TurnRequest
from mtchat.generate.events import TurnWritten
from mtchat.generate.rewrite import spread_over_turns
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import Provenance, Rewrite
from mtchat.session.session import ROOT, Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED, Turn

if TYPE_CHECKING:
    from mtchat.generate.turn import TurnGenerator


def write_recap(generator: "TurnGenerator", session: Session, sampling: Sampling) -> Session:
    """The session on a new branch, where each turn has its part of the new program.

    The new program has not run yet. Asking again raises the temperature, so that the result differs. Returns
    the same session if the model wrote nothing. What was interrupted stays in one turn.
    """
    if not session.path:
        raise MtchatError("there is no program yet; type an instruction")
    last, root = session.path[-1], replace(session, head=ROOT, branch="")
    tries = {made.sampling for made in (turn.provenance for turn in session.turns) if is_recap(made, last)}
    sampling = longer_sampling(sampling, len(session.path))
    sampling = warmer(sampling, len(tries)) if tries else sampling
    rewrite = Rewrite(rules=generator.policy.rules, of=last.id)
    request = TurnRequest(root, last.full_instruction, generator.signed(rewrite, sampling))
    written = generator.write(prompt_that_fits(generator, request), sampling)
    stopped = written.usage.finish == "interrupted"
    rules = generator.policy.rules and not stopped
    provenance = replace(request.provenance, rules=rules, thought=written.thought)
    chunk = generator.chunk(written.text, root, last.full_instruction, provenance)
    if not chunk.strip():
        return session
    status = INTERRUPTED if stopped else COMPLETE
    whole = Turn(last.full_instruction, chunk, ROOT, status, provenance, written.usage)
    made = spread_over_turns(root, whole, together=stopped)
    generator.on_event(TurnWritten(made, whole))
    return made


def is_recap(made: Provenance, last: Turn) -> bool:
    """Whether a turn is of a program that took the place of the one that ends with `last`."""
    return isinstance(made, Rewrite) and made.of == last.id


def prompt_that_fits(generator: "TurnGenerator", request: TurnRequest) -> Prompt:
    """The prompt that asks for the whole program; MtchatError if it does not fit the model."""
    prompt, sampling = request.prompt(generator.family, ()), request.provenance.sampling
    room = generator.room(sampling, request.provenance.think)
    if room is not None and room.count(prompt) > room.most:
        raise MtchatError(
            f"the instructions take {room.count(prompt)} tokens together, but the context window of "
            f"{generator.card.name} is {generator.card.context}, so it cannot write the whole program at once"
        )
    return prompt
