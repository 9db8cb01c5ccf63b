"""Other turns for the last instruction: a retry from another seed, or several candidates side by side."""

from dataclasses import replace

from mtchat.errors import MtchatError
from mtchat.generate.complete import warmer
from mtchat.generate.generated_tests import assertions_in
from mtchat.generate.improve import Refinement, generate_tests, stop_on_interrupt, take
from mtchat.generate.interpretations import Alternatives, interpret
from mtchat.generate.turn import TurnGenerator
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE

NO_TURNS = "nothing to retry: the program has no turns"


def retry(generator: TurnGenerator, session: Session, sampling: Sampling) -> Session:
    """The last turn taken again beside the first one, at a higher temperature and from another seed."""
    if not session.path:
        raise MtchatError(NO_TURNS)
    last = session.turn_at(len(session.path))
    tries = sum(each.instruction == last.instruction for each in session.children(last.parent))
    policy = generator.policy
    if not session.options_of(last.id).checks:
        policy = replace(policy, samples=0, rewrites=0)  # which would agree on the same again
    step = generator.policy.samples + generator.policy.rewrites + 1
    again = take(
        replace(generator, policy=policy),
        session.undo(),
        last.instruction,
        warmer(sampling, tries * step),
        typed=last.typed,
        replaces=last.id,
    )
    return session if again.head == last.parent else again


def sample_alternatives(
    generator: TurnGenerator, session: Session, sampling: Sampling, count: int
) -> Alternatives:
    """The last turn with `count` others drawn beside it and run, all kept in the session; it stays live."""
    if not session.path:
        raise MtchatError(NO_TURNS)
    probe, last, base = generator.dry_run or generator.run, session.path[-1], session.undo()
    if probe is None or generator.candidates is None:
        raise MtchatError(
            "candidates are compared by running them, but programs are not run here; "
            "/retry without N regenerates the turn"
        )
    earlier = len(session.children(last.parent)) - 1
    chosen = replace(sampling, seed=sampling.seed + earlier)
    request = generator.step(base, last.instruction, chosen)
    context = generator.fitted(request)
    refinement = Refinement(generator, base, context.prompt, chosen, stop_on_interrupt(probe), session)
    provenance = replace(request.provenance, context=context.plan)
    turns = refinement.draw(count, replace(last, status=COMPLETE, meant="", provenance=provenance))
    generated = generate_tests(generator, session, chosen)
    candidates = refinement.candidates(turns, base, assertions_in(last.instruction), generated)
    grown = session
    for each in candidates:
        outcome = each.session.outcome
        assert outcome is not None
        grown = (
            grown.undo().add(each.turn).inherit_options(last.id).with_outcome(replace(outcome, variables=()))
        )
    return Alternatives(session.with_alternatives(grown), interpret(candidates))
