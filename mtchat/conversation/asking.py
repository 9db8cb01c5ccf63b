"""Answers questions about a conversation's program, which stays as it is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mtchat.conversation.live import TRIAL_SECONDS, LiveSession, ignore_output
from mtchat.errors import MtchatError
from mtchat.features.explain.fact import Fact
from mtchat.features.explain.inquiry import Answer, Inquiry, answer, require_question
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, Program


def ignore_part(part: Fact | str) -> None:
    """Ignores a part of an answer while it comes; the answer has all of them."""


def ask(
    chat: LiveSession, question: str, known: Sequence[Fact], on_part: Callable[[Fact | str], None]
) -> Answer:
    """The answer to a question; UsageError if it is empty."""
    inquiry = Inquiry(
        chat.session,
        require_question(question),
        chat.dry_run if may_look(chat) else None,
        (lambda program: consult(chat, program)) if not chat.sandbox.unavailable_reason() else None,
    )
    return answer(inquiry, chat.complete, lambda: reason_for_silence(chat), known, on_part)


def may_look(chat: LiveSession) -> bool:
    """Whether the state of the program may be looked at: it has run, and it is there again soon."""
    outcome = chat.session.outcome
    return chat.can_dry_run and outcome is not None and outcome.seconds < TRIAL_SECONDS


def consult(chat: LiveSession, program: Program) -> Outcome:
    """A program of our own, run in a sandbox that has none of the user's files."""
    limits = replace(chat.settings.limits, seconds=TRIAL_SECONDS)
    with chat.waiting(lambda: "reading documentation", str):
        return chat.sandbox.run(program, limits, None, ignore_output, NO_INPUTS)


def reason_for_silence(chat: LiveSession) -> str:
    """Why the model cannot answer in words; "" if it can."""
    try:
        chat.await_model()
    except MtchatError as error:
        return f"the model is not available, so there are only facts: {error}"
    if not chat.model.card().chat:
        return (
            f"{chat.model.name} only continues code and cannot chat, so there are only facts; "
            "/model starter switches to one that can"
        )
    return ""
