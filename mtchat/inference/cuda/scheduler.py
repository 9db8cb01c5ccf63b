"""The GPU scheduler: continuous batching with sampling on the device, which runs ahead of the host.

A step feeds each batch slot the id that the step before it sampled, so that the next step can start before
the host has read the first; the text is made meanwhile. Tokens after the end of a completion are dropped.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtchat.inference.cuda.decoder import BATCH_SIZES, GREEDY, SAMPLED, SAMPLED_SORTED, GpuDecoder
from mtchat.inference.cuda.reference import MAX_STEPS, MAX_TOP_K, DecodeInputs
from mtchat.inference.engine import Engine
from mtchat.inference.request import BatchSlot, Request, start_states
from mtchat.inference.scheduler import ADMIT_EVERY, BURST
from mtchat.inference.sequence import CachedSequence

MAX_IN_FLIGHT = 3  # steps that are submitted before the first of them is collected
RESERVED_SHARE = 16  # 1/16 of all KV slots is reserved for the next tokens, most of which is not needed
MIN_STEPS = 16  # steps that inputs are filled for, or to the end of a completion, however few slots there are
SMALL_BATCH = 4  # completions whose tokens are emitted one by one
NONE: NDArray[numpy.float64] = numpy.empty(0)


@dataclass
class GpuSlot(BatchSlot):
    """A running completion: `id` is the last of its sequence, which the next step feeds.

    `uniforms` are numbers in [0, 1), one for each of its tokens.
    """

    sequence: CachedSequence
    id: int
    uniforms: NDArray[numpy.float64]

    def take(self, id: int, logprob: float, burst: int) -> None:
        self.sequence.uncommitted = [self.id]
        self.sequence.commit(1)
        self.id = id
        super().take(id, logprob, burst)


class PendingTokens:
    """What some steps sampled for each slot, (steps, B, 2), on its way to the host."""

    def __init__(self, output: Tensor) -> None:
        self.event: Any = None
        if output.device.type == "cuda":
            self.values = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
            self.values.copy_(output, non_blocking=True)
            self.event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.event.record()
        else:
            self.values = output.clone()

    def read(self) -> list[list[list[float]]]:
        if self.event is not None:
            self.event.synchronize()
        steps: list[list[list[float]]] = self.values.tolist()
        return steps


class GpuScheduler:
    """Completions of a model on a GPU, at most `max_sequences` at once."""

    patience = 0.0

    def __init__(self, engine: Engine, max_sequences: int) -> None:
        assert isinstance(engine.decoder, GpuDecoder)
        self.engine, self.decoder = engine, engine.decoder
        self.max_sequences = max_sequences
        self.clear()

    def clear(self) -> None:
        """Drop all requests, wherever an interrupt came; what the device still writes is in free slots."""
        self.waiting: list[Request] = []
        self.running: list[GpuSlot] = []
        self.in_flight: deque[PendingTokens] = deque()
        self.inputs: DecodeInputs | None = None
        self.steps_left = self.steps_taken = 0

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting

    def has_room(self, request: Request) -> bool:
        """Whether all its completions fit, however long they become."""
        requests = [*self.waiting, request]
        count = len(self.running) + sum(len(each.samplings) for each in requests)
        tokens = sum(slot.sequence.length + slot.remaining for slot in self.running)
        tokens += sum(len(each.ids) + each.max_tokens * len(each.samplings) for each in requests)
        return self.idle or (count <= self.max_sequences and tokens <= self.decoder.tree.capacity)

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def step(self) -> None:
        """Collect the oldest step in flight; now and then admit waiting requests and remove ended ones."""
        self.steps_taken += 1
        if self.waiting and (not self.running or self.steps_taken >= ADMIT_EVERY):
            self.flush()
            requests, self.waiting, self.steps_taken = self.waiting, [], 0
            self.admit(requests)
        if self.inputs is None and self.running:
            self.fill_inputs()
        while self.steps_left and len(self.in_flight) < MAX_IN_FLIGHT:
            self.submit()
        if self.in_flight:
            self.collect()
        going = [slot for slot in self.running if not slot.done]
        if not going or (not self.steps_left and not self.in_flight) or len(going) <= len(self.running) // 2:
            self.flush()

    def admit(self, requests: Sequence[Request]) -> None:
        """Prefill some prompts together, all but their last tokens, which the first step feeds.

        What the first prompts share is computed for each of them; later ones find it in the prefix tree.
        """
        requests = sorted(requests, key=lambda request: len(request.ids))
        while requests:
            group: list[tuple[Request, CachedSequence]] = []
            tokens = 0
            for request in requests:
                sequence = self.decoder.open(request.ids)
                tokens += len(sequence.pending) - 1
                if group and tokens > self.decoder.max_step_tokens:
                    break
                group.append((request, sequence))
            requests = requests[len(group) :]
            self.prefill([(sequence, sequence.pending[:-1]) for _, sequence in group])
            for request, sequence in group:
                self.start(request, sequence)

    def prefill(self, parts: Sequence[tuple[CachedSequence, Sequence[int]]]) -> None:
        most = self.decoder.max_step_tokens
        while parts := [(sequence, ids) for sequence, ids in parts if ids]:
            self.decoder.prefill([(sequence, ids[:most]) for sequence, ids in parts])
            parts = [(sequence, ids[most:]) for sequence, ids in parts]

    def start(self, request: Request, sequence: CachedSequence) -> None:
        for number, state in start_states(self.engine.vocabulary, request, sequence.cached):
            sampled = state.sampler.sampling.temperature > 0
            uniforms = state.sampler.random.random(request.max_tokens) if sampled else NONE
            self.running.append(GpuSlot(request, number, state, sequence.fork(), request.ids[-1], uniforms))

    def fill_inputs(self) -> None:
        """Copy the running completions to the device, with KV slots for their next tokens."""
        # none may exceed its context, even if it has ended: the others' steps are its steps too
        context = self.decoder.weights.shape.context
        share = self.decoder.tree.capacity // RESERVED_SHARE // len(self.running)
        count = min(
            max(min(MAX_STEPS, share), MIN_STEPS),
            max(slot.remaining for slot in self.running),
            *(context - slot.sequence.length for slot in self.running),
        )
        reserved = [min(count, slot.remaining) for slot in self.running]
        free = self.decoder.free_slots(sum(reserved))
        samplings = [each for slot in self.running if (each := slot.state.sampler.sampling).temperature]
        method = GREEDY
        if samplings:
            method = SAMPLED if all(each.top_k <= MAX_TOP_K for each in samplings) else SAMPLED_SORTED
        self.inputs = self.decoder.decode_inputs(len(self.running))
        run = self.decoder.steps_per_launch if len(self.running) <= SMALL_BATCH else 1
        counts = [each for each in (run, 1) if count >= run and (each == run or count % run)] or [1]
        self.launchers = {each: self.decoder.decode_launcher(self.inputs, method, each) for each in counts}
        size, unused_slot = len(self.inputs.ids), self.decoder.tree.capacity
        width = max(slot.sequence.length for slot in self.running) + count
        host: dict[str, NDArray[Any]] = {
            "ids": numpy.zeros(size, numpy.int64),
            "lengths": numpy.zeros(size, numpy.int32),
            "slot_tables": numpy.full((size, width), unused_slot, numpy.int32),
            "temperature": numpy.zeros(size, numpy.float32),
            "top_p": numpy.ones(size),
            "top_k": numpy.zeros(size, numpy.int32),
            "uniforms": numpy.zeros((size, count)),
        }
        for row, (slot, some) in enumerate(zip(self.running, reserved, strict=True)):
            slots = slot.sequence.reserve(free[:some])
            free = free[some:]
            sampling, tokens = slot.state.sampler.sampling, slot.tokens
            host["ids"][row], host["lengths"][row] = slot.id, slot.sequence.length
            host["slot_tables"][row, : len(slots)] = slots
            host["temperature"][row], host["top_p"][row] = sampling.temperature, sampling.top_p
            host["top_k"][row] = sampling.top_k
            uniforms = slot.uniforms[tokens : tokens + count]
            host["uniforms"][row, : len(uniforms)] = uniforms
        with torch.inference_mode():
            for name, values in host.items():
                target = getattr(self.inputs, name)
                (target[:, : values.shape[1]] if values.ndim == 2 else target).copy_(torch.from_numpy(values))
            self.inputs.rng_step.zero_()
        self.steps_left = count

    def submit(self) -> None:
        """Start the next steps on the device."""
        assert self.inputs is not None
        count = max(each for each in self.launchers if each <= self.steps_left)
        self.launchers[count]()
        self.in_flight.append(PendingTokens(self.inputs.output[:count]))
        self.steps_left -= count

    def collect(self) -> None:
        """Wait for the oldest steps in flight, and take what they sampled into the completions."""
        burst = 1 if len(self.running) <= SMALL_BATCH else BURST
        for step in self.in_flight.popleft().read():
            for slot, (id, logprob) in zip(self.running, step, strict=False):
                if not slot.done:
                    slot.take(int(id), logprob, burst)

    def flush(self) -> None:
        """Collect all steps in flight and remove ended completions: the host is as far as the device."""
        while self.in_flight:
            self.collect()
        self.running = [slot for slot in self.running if not slot.done]
        self.inputs, self.steps_left = None, 0


def gpu_scheduler(engine: Engine) -> GpuScheduler:
    return GpuScheduler(engine, BATCH_SIZES[-1])
