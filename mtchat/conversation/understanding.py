"""What a text means in a live session: the model is asked about it with the prompt of the next turn."""

from collections.abc import Sequence
from dataclasses import replace

from mtchat.conversation.live import LiveSession
from mtchat.errors import ModelError
from mtchat.features.understand.decide import by_first_signals, by_form, by_signals
from mtchat.features.understand.likelihood import read_likelihood
from mtchat.features.understand.reading import Kind, Reading, Understanding, latest_with_code
from mtchat.generate.context import TurnContext, TurnRequest
from mtchat.generate.prompt.family import as_conversation
from mtchat.models.loading import classify_with
from mtchat.session.context import is_emptied
from mtchat.session.prompt import Signals
from mtchat.session.provenance import Step
from mtchat.session.turn import Turn

LONGEST = 2000  # characters; a longer text describes something new


def understand(live: LiveSession, text: str) -> Understanding:
    """The readings of a text after the live program, the likeliest first; the same for the same text."""
    path = live.session.path
    if known := by_form(path, text):
        return known
    if len(text) > LONGEST or not live.session.language.runs:
        return nothing_told(path, text)
    context, shown = next_context(live, text)
    signals = ask_model(live, context)
    if signals and not path:
        return by_first_signals(text, signals)
    if signals:
        return by_signals(path, text, signals, shown)
    return by_likelihood(live, text) or nothing_told(path, text)


def by_likelihood(live: LiveSession, text: str) -> Understanding | None:
    """The readings by how likely the model finds the text after each; None if it gives no scores."""
    path = live.session.path
    try:
        signals = read_likelihood(path, text, live.score)
    except ModelError:
        return None  # generating the turn will say what is wrong
    if signals is None:
        return None
    return replace(by_signals(path, text, signals, range(1, len(path) + 1)), source="likelihood")


def nothing_told(path: Sequence[Turn], text: str) -> Understanding:
    """A step; a change, if the user asks for one, would be about the last turn with code."""
    numbers = latest_with_code(path)
    change = (Reading(Kind.CHANGE, 0.0, numbers),) if numbers else ()
    return Understanding(text, (Reading(Kind.STEP), *change), "nothing")


def next_context(live: LiveSession, text: str) -> tuple[TurnContext, tuple[int, ...]]:
    """The context of a next step with this text, and the numbers of the turns that it shows.

    How the program fails at present is left out, so that the text stands alone in its message. So is what was
    said about the state of the program, also before earlier turns, and the turns are shown as a conversation:
    the probes were fitted so.
    """
    generator = live.generator()
    step = generator.step(live.session, text, live.settings.sampling)
    assert isinstance(step.provenance, Step)
    guidance = as_conversation(step.provenance.guidance)
    plain = replace(step.provenance, error="", files="", state="", guidance=guidance, think=0)
    context = generator.fitted(TurnRequest(live.session, text, plain, stateless=True))
    hidden = set(context.plan.forgotten)
    shown = (
        number
        for number, turn in enumerate(live.session.path, start=1)
        if number not in hidden and not is_emptied(turn)
    )
    return context, tuple(shown)


def ask_model(live: LiveSession, context: TurnContext) -> Signals | None:
    """What the model makes of a context; None where it cannot tell or the context does not fit."""
    if context.problem:
        return None
    try:
        return classify_with(live.model, context.prompt)
    except ModelError:
        return None  # generating the turn will say what is wrong
