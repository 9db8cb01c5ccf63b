"""A request for completions of one prompt, and the state of each completion while it is generated."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from mtchat.inference.decoder import Logits
from mtchat.inference.detokenizer import Detokenizer, Vocabulary
from mtchat.inference.sampler import Sampler, logprob
from mtchat.session.prompt import Piece, Usage
from mtchat.session.settings import Sampling


class Stopwatch:
    """Seconds spent generating, without those that the consumer of the pieces takes."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.resume()

    def resume(self) -> None:
        self.started = time.perf_counter()

    def seconds(self) -> float:
        """The seconds spent so far; the time until the next `resume` counts too."""
        self.spent += time.perf_counter() - self.started
        self.started = time.perf_counter()
        return self.spent


@dataclass
class Request:
    """One prompt, with one sampling for each completion of it; `emit` gets (number, piece).

    Each completion has at most `max_tokens` tokens and ends with the one that completes the text `until`, if
    that is not empty. Set `cancelled` once nobody listens any more.
    """

    ids: list[int]
    samplings: list[Sampling]
    max_tokens: int
    emit: Callable[[int, Piece], None]
    until: str = ""
    cancelled: bool = False
    stopwatch: Stopwatch = field(default_factory=Stopwatch)


class GenerationState:
    """One completion while it is generated: its text so far, why it ended, and what it cost."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        ids: list[int],
        sampling: Sampling,
        max_tokens: int,
        cached: int,
        stopwatch: Stopwatch,
        until: str = "",
    ) -> None:
        self.stop_ids = vocabulary.stop_ids
        self.detokenizer = Detokenizer(vocabulary, context=ids)
        self.sampler = Sampler(sampling)
        self.max_tokens = max_tokens
        self.stopwatch = stopwatch
        self.until = until
        self.latest = ""  # text that may be the beginning of `until`
        self.tokens = 0  # generated so far
        self.finish = ""
        self.usage = Usage(prompt_tokens=len(ids), cached_tokens=cached)
        self.decode_began = 0.0
        self.logprob = self.min_logprob = 0.0

    def report_prefill(self) -> Piece:
        """An empty piece after a chunk of the prompt."""
        self.usage = replace(self.usage, prefill_seconds=self.stopwatch.seconds())
        return Piece("", self.usage)

    def begin_decode(self) -> None:
        """The prompt is computed: from now on, time counts as decoding."""
        self.decode_began = self.stopwatch.seconds()

    def sample(self, rows: Sequence[Logits], draft: Sequence[int]) -> list[int]:
        """The next ids: one, and one more for each draft token that is accepted; may set `finish`."""
        found: list[int] = []
        for row, expected in zip_longest(rows, draft):
            id = self.sampler.sample(row)
            if not self.accept(id, logprob(row, id), self.tokens + len(found)):
                break
            found.append(id)
            if self.finish or id != expected:
                break
        return found

    def accept(self, id: int, logprob: float, before: int) -> bool:
        """Whether an id, sampled after `before` others, belongs to the text; may set `finish`."""
        self.logprob += logprob
        self.min_logprob = min(self.min_logprob, logprob)
        if id in self.stop_ids:
            self.finish = "stop"
            return False
        if before + 1 == self.max_tokens:
            self.finish = "length"
        return True

    def write(self, *ids: int) -> Piece:
        """Append accepted ids: the text that they complete; may set `finish`."""
        self.tokens += len(ids)
        text = self.detokenizer.push(*ids)
        if self.until:
            self.latest += text
            if self.until in self.latest:
                self.finish = "stop"
            self.latest = self.latest[-len(self.until) :]
        return Piece(text, self.current_usage())

    def end(self) -> Piece:
        """The last piece, with the reason in `usage.finish`."""
        return Piece(self.detokenizer.finish(), replace(self.current_usage(), finish=self.finish))

    def current_usage(self) -> Usage:
        return replace(
            self.usage,
            completion_tokens=self.tokens,
            decode_seconds=self.stopwatch.seconds() - self.decode_began,
            logprob=round(self.logprob, 4),
            min_logprob=round(self.min_logprob, 4),
        )


@dataclass
class BatchSlot:
    """One completion of a GPU batch; its text is made in bursts: `pending` ids have no text yet."""

    request: Request
    number: int
    state: GenerationState
    pending: list[int] = field(default_factory=list, kw_only=True)
    done: bool = field(default=False, kw_only=True)

    @property
    def tokens(self) -> int:
        """The tokens generated so far."""
        return self.state.tokens + len(self.pending)

    @property
    def remaining(self) -> int:
        """The most tokens that may still come."""
        return self.state.max_tokens - self.tokens

    def take(self, id: int, logprob: float, burst: int) -> None:
        """Take a sampled id; text is emitted for `burst` ids at once, or fewer at the end."""
        state = self.state
        if self.request.cancelled:
            self.done = True
            return
        if state.accept(id, logprob, self.tokens):
            self.pending.append(id)
        if self.pending and (state.finish or len(self.pending) >= burst):
            piece = state.write(*self.pending)
            self.pending = []
            self.request.emit(self.number, piece)
        if state.finish:
            self.request.emit(self.number, state.end())
            self.done = True


def start_states(
    vocabulary: Vocabulary, request: Request, cached: int
) -> Iterator[tuple[int, GenerationState]]:
    """The number and the state of each completion, once the whole prompt of a request is computed."""
    for number, sampling in enumerate(request.samplings):
        state = GenerationState(
            vocabulary, request.ids, sampling, request.max_tokens, cached, request.stopwatch, request.until
        )
        request.emit(number, state.report_prefill())
        state.begin_decode()
        yield number, state
