"""The log-probability that a model gives to texts, computed on any decoder, in batches where it can."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.decoder import Decoder, Logits
from mtchat.inference.sampler import logprob
from mtchat.inference.sequence import CachedDecoder, CachedSequence

MOST_TOGETHER = 256  # tokens of one step of a decoder without a cache


@dataclass(frozen=True)
class Continuation:
    """The ids of a text, and those of the context that it is scored after."""

    context: Sequence[int]
    ids: Sequence[int]


def score_texts(decoder: Decoder[Any], texts: Sequence[Continuation]) -> Iterator[float]:
    """The log-probability of each text in nats, summed over its tokens; an empty text has 0.

    ModelError if the model computes NaN. A context that texts share is computed once.
    """
    scored = [text for text in texts if text.ids]
    if isinstance(decoder, CachedDecoder):
        found = iter(score_together(decoder, scored))
    else:
        found = score_each(decoder, scored)
    for text in texts:
        score = next(found) if text.ids else 0.0
        if score != score:
            raise ModelError("the model computed NaN: its weights are damaged; download it again")
        yield score


def score_each(decoder: Decoder[Any], texts: Sequence[Continuation]) -> Iterator[float]:
    """The scores of some texts, one after the other."""
    if len(texts) > 1:
        prefill_shared(decoder, [text.context for text in texts])
    for text in texts:
        yield score_alone(decoder, text)


def score_alone(decoder: Decoder[Any], text: Continuation) -> float:
    """The score of one text, by the means of any decoder."""
    sequence = decoder.open(text.context)
    for logits in sequence.prefill():
        last = logits
    score = logprob(last, text.ids[0])
    for first in range(0, len(text.ids) - 1, MOST_TOGETHER):
        targets = text.ids[first + 1 : first + 1 + MOST_TOGETHER]
        some = text.ids[first : first + len(targets)]
        score += sum_logprobs(sequence.forward(some), targets)
        sequence.commit(len(some))
    return score


def sum_logprobs(logits: Logits, targets: Sequence[int]) -> float:
    """The log-probability of ids (T,), each after its row of the logits (T, V)."""
    return sum(logprob(row, id) for row, id in zip(logits, targets, strict=True))


class Course:
    """What is left to compute of one text: the last ids of its context, then its own but the last."""

    def __init__(self, sequence: CachedSequence, text: Continuation) -> None:
        self.sequence = sequence
        self.text = text
        self.context_left = len(sequence.pending)
        self.todo = [*sequence.pending, *text.ids[:-1]]
        self.scored = 0  # ids of the text
        self.score = 0.0

    def wanted(self, count: int) -> range:
        """Which of the next `count` ids are followed by an id of the text."""
        return range(min(max(self.context_left - 1, 0), count), count)

    def targets(self, count: int) -> Sequence[int]:
        """The ids of the text that follow those of the next `count` ids that `wanted` names."""
        return self.text.ids[self.scored : self.scored + len(self.wanted(count))]

    def take(self, count: int, logprobs: Sequence[float]) -> None:
        """The next ids were computed: keep those of the context, and all if more follow."""
        self.score += sum(logprobs)
        self.scored += len(logprobs)
        whole = count < len(self.todo)
        self.sequence.commit(count if whole else min(self.context_left, count))
        self.context_left = max(self.context_left - count, 0)
        self.todo = self.todo[count:]


def score_together(decoder: CachedDecoder, texts: Sequence[Continuation]) -> list[float]:
    """The scores of some texts, each step filled with tokens of as many as find room."""
    if not texts:
        return []
    most = min(decoder.max_step_tokens, decoder.max_scored_tokens)
    prefill_shared(decoder, [text.context for text in texts])
    courses = []
    for text in texts:
        courses.append(Course(decoder.open(text.context), text))
        courses[-1].sequence.pending = []
    while waiting := [course for course in courses if course.todo]:
        room, parts = most, []
        for course in waiting:
            count = min(len(course.todo), room)
            if count:
                parts.append((course, count))
            room -= count
        compute(decoder, parts)
    return [course.score for course in courses]


def compute(decoder: CachedDecoder, parts: Sequence[tuple[Course, int]]) -> None:
    """One step: the next ids of some texts, and how many of each."""
    wanted: list[int] = []
    targets: list[int] = []
    ends: list[int] = []
    before = 0
    for course, count in parts:
        wanted += [before + at for at in course.wanted(count)]
        targets += course.targets(count)
        ends.append(len(wanted))
        before += count
    todo = [(course.sequence, course.todo[:count]) for course, count in parts]
    logprobs = decoder.compute_logprobs(todo, wanted, targets)
    for (course, count), first, end in zip(parts, [0, *ends], ends, strict=False):
        course.take(count, logprobs[first:end])


def prefill_shared(decoder: Decoder[Any], contexts: Sequence[Sequence[int]]) -> None:
    """Compute what all contexts begin with, so that each finds it in the KV cache."""
    least, most = min(map(tuple, contexts)), max(map(tuple, contexts))
    shared = next(
        (at for at, (one, other) in enumerate(zip(least, most, strict=False)) if one != other), len(least)
    )
    if shared > 1:
        for _ in decoder.open(list(least[:shared])).prefill():
            pass
