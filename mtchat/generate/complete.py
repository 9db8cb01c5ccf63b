"""Completes prompts up to their cut, one or several at a time, and adjusts sampling for retries."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from mtchat.generate.prompt.family import Cut
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Sampling

RETRY_TEMPERATURE = 0.6
LONGEST_PROGRAM = 1024  # tokens of a program that is rewritten as a whole, if a turn has fewer

CompleteStream = Callable[[Prompt, Sampling], Iterator[Piece]]
CompleteMany = Callable[[Prompt, Sampling, int], Iterator[tuple[int, Piece]]]


class CutRule(Protocol):
    """Decides where a completion ends: a prompt family, or the format of a hole."""

    def cut(self, text: str) -> Cut: ...


@dataclass(frozen=True)
class RawCompletion:
    """One completion: its text as the model wrote it, its usage, and the thought before it."""

    text: str
    usage: Usage
    thought: str = ""

    def after(self, thought: "RawCompletion") -> "RawCompletion":
        """This completion together with the thought that it was written after."""
        return replace(self, usage=self.usage.after_thought(thought.usage), thought=thought.text)


class Unbroken:
    """The cut rule of a thought: the model ends it."""

    def cut(self, text: str) -> Cut:
        return Cut(text, finished=False)


def complete_quietly(
    complete: CompleteStream, family: CutRule, prompt: Prompt, sampling: Sampling
) -> RawCompletion:
    """One completion up to its cut, without events."""
    pieces = complete_candidates(
        lambda prompt, sampling, count: ((0, piece) for piece in complete(prompt, sampling)),
        family,
        prompt,
        sampling,
        1,
    )
    return pieces[0]


def complete_candidates(
    candidates: CompleteMany,
    family: CutRule,
    prompt: Prompt,
    sampling: Sampling,
    count: int,
    tell: Callable[[int, int], None] = lambda written, pieces: None,
) -> list[RawCompletion]:
    """`count` completions of one prompt, each up to its cut; decoding stops when the last one is finished.

    If the prompt asks for a thought, each completion has its own, with the seed of its number: candidates are
    compared because they may differ, and one thought would lead them all to the same code. The thoughts are
    decoded together, and the replies one after another, since their prompts differ from then on.

    `tell` is called with each piece: the number of finished completions, and of pieces so far.
    """
    if not prompt.asks_for_thought:
        return complete_together(candidates, family, prompt, sampling, count, tell)
    found: list[RawCompletion] = []
    before = 0

    def report(finished: int, pieces: int) -> None:
        tell(len(found), before + pieces)

    thoughts = complete_together(candidates, Unbroken(), prompt, sampling, count, report)
    before = sum(thought.usage.completion_tokens for thought in thoughts)
    for number, thought in enumerate(thoughts):
        seeded = replace(sampling, seed=sampling.seed + number)
        after = replace(prompt, thought=thought.text)
        [made] = complete_together(candidates, family, after, seeded, 1, report)
        found.append(made.after(thought))
        before += made.usage.completion_tokens
    return found


def complete_together(
    candidates: CompleteMany,
    family: CutRule,
    prompt: Prompt,
    sampling: Sampling,
    count: int,
    tell: Callable[[int, int], None],
) -> list[RawCompletion]:
    """Completions of one prompt that are decoded together, each up to its cut."""
    begun = "" if prompt.asks_for_thought else prompt.begun
    found = [RawCompletion(begun, Usage()) for _ in range(count)]
    writing = set(range(count))
    stream = candidates(prompt, sampling, count)
    try:
        for pieces, (number, piece) in enumerate(stream, start=1):
            if number not in writing:
                continue
            tell(count - len(writing), pieces)
            found[number] = RawCompletion(found[number].text + piece.text, piece.usage)
            if piece.usage.finish or (piece.text and family.cut(found[number].text).finished):
                writing.discard(number)
                if not writing:
                    break
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    return found


def longer_sampling(sampling: Sampling, turns: int) -> Sampling:
    """Sampling with enough tokens for a program of `turns` turns."""
    most = max(sampling.max_tokens, min(LONGEST_PROGRAM, turns * sampling.max_tokens))
    return replace(sampling, max_tokens=most)


def warmer(sampling: Sampling, number: int, temperature: float = RETRY_TEMPERATURE) -> Sampling:
    """Sampling for a prompt that was completed before: another seed, and warm enough to differ."""
    warm = max(sampling.temperature, temperature)
    return replace(sampling, temperature=warm, seed=sampling.seed + number)
