"""What a model is asked for, what it wrote, and the chunk that this gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from mtchat.generate.prompt.family import Cut
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Sampling

RETRY_TEMPERATURE = 0.6
LONGEST_PROGRAM = 1024  # tokens of a program that is written again as a whole, where a turn has fewer

CompleteStream = Callable[[Prompt, Sampling], Iterator[Piece]]
CompleteMany = Callable[[Prompt, Sampling, int], Iterator[tuple[int, Piece]]]


class CutRule(Protocol):
    """What knows where completions end: a family, or a way to fill holes."""

    def cut(self, text: str) -> Cut: ...


@dataclass(frozen=True)
class RawCompletion:
    """One completion: its text as the model wrote it, and what it cost."""

    text: str
    usage: Usage


def complete_quietly(
    complete: CompleteStream, family: CutRule, prompt: Prompt, sampling: Sampling
) -> RawCompletion:
    """A completion up to its cut, which nobody watches."""
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
    """So many completions, each up to its cut; the writing ends when the last one has come to it.

    `tell` hears with each piece how many are written, and of the pieces so far.
    """
    found = [RawCompletion(prompt.begun, Usage()) for _ in range(count)]
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
    """Sampling for a program of so many turns."""
    most = max(sampling.max_tokens, min(LONGEST_PROGRAM, turns * sampling.max_tokens))
    return replace(sampling, max_tokens=most)


def warmer(sampling: Sampling, number: int, temperature: float = RETRY_TEMPERATURE) -> Sampling:
    """Sampling for a question that was asked before: warm enough that the answer can differ."""
    warm = max(sampling.temperature, temperature)
    return replace(sampling, temperature=warm, seed=sampling.seed + number)
