"""Writes the whole program again from all instructions at once, beside the one that grew turn by turn."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mtchat.errors import MtchatError
from mtchat.generate.complete import longer_sampling, warmer
from mtchat.generate.context import TurnRequest
from mtchat.generate.events import TurnWritten
from mtchat.generate.execute import carry_over_without_code
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import Rewrite
from mtchat.session.session import ROOT, Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED, Turn

if TYPE_CHECKING:
    from mtchat.generate.turn import TurnGenerator


def write_recap(generator: "TurnGenerator", session: Session, sampling: Sampling) -> Session:
    """The session on a new branch, whose last turn has the whole program and whose other turns have no code.

    The new program has not run yet. Asking again raises the temperature, so that the result differs. Returns
    the same session if the model wrote nothing.
    """
    if not session.path:
        raise MtchatError("there is no program yet; type an instruction")
    *others, last = session.path
    root = replace(session, head=ROOT, branch="")
    base = carry_over_without_code(root, tuple(others))
    tries = sum(
        isinstance(turn.provenance, Rewrite) and turn.instruction == last.full_instruction
        for turn in base.children(base.head)
    )
    sampling = longer_sampling(sampling, len(session.path))
    sampling = warmer(sampling, tries) if tries else sampling
    request = TurnRequest(
        base, last.full_instruction, generator.signed(Rewrite(rules=generator.policy.rules), sampling)
    )
    written = generator.write(prompt_that_fits(generator, request), sampling)
    stopped = written.usage.finish == "interrupted"
    provenance = replace(request.provenance, rules=generator.policy.rules and not stopped)
    chunk = generator.chunk(written.text, base, last.full_instruction, provenance)
    if not chunk.strip():
        return session
    status = INTERRUPTED if stopped else COMPLETE
    turn = Turn(last.full_instruction, chunk, base.head, status, provenance, written.usage)
    made = base.add(turn).inherit_options(last.id)
    generator.on_event(TurnWritten(made, turn))
    return made


def prompt_that_fits(generator: "TurnGenerator", request: TurnRequest) -> Prompt:
    """The prompt that asks for the whole program; MtchatError if it does not fit the model."""
    prompt, sampling = request.prompt(generator.family, ()), request.provenance.sampling
    room = generator.room(sampling)
    if room is not None and room.count(prompt) > room.most:
        raise MtchatError(
            f"the instructions take {room.count(prompt)} tokens together, but the context window of "
            f"{generator.card.name} is {generator.card.context}, so it cannot write the whole program at once"
        )
    return prompt
