"""Schedulers decide which requests are computed together; the one here serves decoders on the CPU.

Continuous batching, as in Orca (Yu et al. 2022): a request joins the batch when it arrives, and a completion
leaves it when it ends. `cuda.scheduler` and `hf.padded_scheduler` do the same on a GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mtchat.inference.decoder import Decoder, Logits
from mtchat.inference.detokenizer import Vocabulary
from mtchat.inference.request import GenerationState, Request

# of the schedulers on a GPU
ADMIT_EVERY = 8  # steps after which waiting requests are admitted
ADMIT_PATIENCE = 0.05  # seconds to wait for more requests to prefill together
BURST = 16  # tokens of a completion whose text is made at once


class Scheduler(Protocol):
    """Generates the completions of several requests together, one step at a time."""

    @property
    def patience(self) -> float:
        """Seconds to wait for one more request before the waiting ones begin together."""
        ...

    def has_room(self, request: Request) -> bool:
        """Whether a request can be added now."""
        ...

    def add(self, request: Request) -> None: ...

    def step(self) -> None:
        """Compute one more token of each running completion, or more; admit waiting requests."""
        ...

    def flush(self) -> None:
        """Let the host be as far as the device, so that something else can be computed."""
        ...

    def clear(self) -> None:
        """Drop all requests."""
        ...

    @property
    def idle(self) -> bool:
        """Whether there is nothing to compute."""
        ...


@dataclass
class RunningSequence:
    """One completion of the batch: its number in its request, and the logits (V,) after its last token."""

    request: Request
    number: int
    state: GenerationState
    sequence: Any
    logits: Logits


class CpuScheduler:
    """Completions of any decoder, at most `max_sequences` at once; each step decodes one token of each.

    `prefill` and `decode` are the same as `add` and `step`, but pause after each chunk or sampled token.
    """

    patience: float = 0.0

    def __init__(self, decoder: Decoder[Any], vocabulary: Vocabulary, max_sequences: int) -> None:
        self.decoder = decoder
        self.vocabulary = vocabulary
        self.max_sequences = max_sequences
        self.running: list[RunningSequence] = []

    @property
    def idle(self) -> bool:
        return not self.running

    def has_room(self, request: Request) -> bool:
        return self.idle or len(self.running) + len(request.samplings) <= self.max_sequences

    def add(self, request: Request) -> None:
        for _ in self.prefill(request):
            pass

    def step(self) -> None:
        for _ in self.decode():
            pass

    def flush(self) -> None: ...

    def clear(self) -> None:
        self.running = []

    def prefill(self, request: Request) -> Iterator[None]:
        """Compute a prompt, in chunks, and add its completions to the batch."""
        sequence = self.decoder.open(request.ids)
        states = [
            GenerationState(
                self.vocabulary,
                request.ids,
                sampling,
                request.max_tokens,
                sequence.cached,
                request.stopwatch,
                request.until,
            )
            for sampling in request.samplings
        ]
        for logits in sequence.prefill():
            last = logits
            for number, state in enumerate(states):
                request.emit(number, state.report_prefill())
            yield
        for number, state in enumerate(states):
            state.begin_decode()
            self.running.append(RunningSequence(request, number, state, sequence.fork(), last))

    def decode(self) -> Iterator[None]:
        """Sample and emit one more token of each completion, then compute the logits after it."""
        self.running = [each for each in self.running if not each.request.cancelled]
        sampled = [each.state.sample([each.logits], []) for each in self.running]
        for each, ids in zip(self.running, sampled, strict=True):
            for id in ids:
                each.request.emit(each.number, each.state.write(id))
            if each.state.finish:
                each.request.emit(each.number, each.state.end())
        pairs = [
            (each, ids[0]) for each, ids in zip(self.running, sampled, strict=True) if not each.state.finish
        ]
        self.running = [each for each, _ in pairs]
        yield
        if pairs:
            after = self.decoder.forward_each(
                [each.sequence for each in self.running], [id for _, id in pairs]
            )
            for each, logits in zip(self.running, after, strict=True):
                each.sequence.commit(1)  # before the next prefill, which would take the slots
                each.logits = logits
