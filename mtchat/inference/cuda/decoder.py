"""A model on one GPU: prefills prompts into KV slots, and decodes one token of each batch slot per step."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

from mtchat.inference.cuda import reference
from mtchat.inference.cuda.reference import BLOCK, GATE, GELU, DecodeInputs, PrefillInputs
from mtchat.inference.cuda.weights import FusedLayer, FusedWeights
from mtchat.inference.decoder import Logits
from mtchat.inference.sequence import CachedDecoder, CachedSequence, Ints

BATCH_SIZES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 96, 128, 160, 192, 256)
MOST_SLOTS = 1 << 18
LEAST_SLOTS = 2  # contexts
CAPTURED_SIZES = (16, 32, 64, 128, 256)  # tokens of a captured prefill: longer ones outlast their launches
CAPTURED_ROWS = 8  # sequences of a captured prefill
GREEDY, SAMPLED, SAMPLED_SORTED = range(3)  # sampling methods; SAMPLED_SORTED where top_k is above MAX_TOP_K

Inputs = TypeVar("Inputs", DecodeInputs, PrefillInputs)


class CudaGraph:
    """Decode steps, or a prefill, captured once and replayed with a single launch."""

    def __init__(self, inputs: Inputs, step: Callable[[Inputs], Any], pool: Any) -> None:
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        try:  # kernels are compiled, and libraries set up, before the capture
            with torch.cuda.stream(stream):
                for _ in range(2):
                    step(inputs)
        finally:  # even an interrupt leaves nothing running beside what comes next
            torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            step(inputs)

    def replay(self) -> None:
        self.graph.replay()


class GpuDecoder(CachedDecoder):
    """Fused weights with their KV cache: keys and values, (layers, slots + 1, kv heads, width) each.

    `ops` are the kernels, or `reference`, which computes on any device without CUDA graphs. Unused batch
    slots write into the last KV slot. Small batches launch `steps_per_launch` decode steps at once.
    """

    max_step_tokens = 4096
    max_scored_tokens = 1024

    def __init__(
        self, weights: FusedWeights, slots: int, ops: Any = reference, steps_per_launch: int = 1
    ) -> None:
        super().__init__(slots)
        self.steps_per_launch = steps_per_launch
        shape = weights.shape
        self.weights = weights
        self.ops = ops
        self.device = weights.embedding.device
        # the reference synchronises with the host, which a graph cannot
        self.captures = self.device.type == "cuda" and ops is not reference
        size = (len(weights.layers), slots + 1, shape.kv_heads, shape.width)
        self.keys = torch.zeros(size, dtype=weights.embedding.dtype, device=self.device)
        self.values = torch.zeros_like(self.keys)
        self.launchers: dict[tuple[int, int, int], Callable[[], None]] = {}
        self.inputs: dict[int, DecodeInputs] = {}
        self.prefills: dict[int, tuple[PrefillInputs, CudaGraph]] = {}
        self.pool: Any = None

    @property
    def rows(self) -> int:
        return self.weights.embedding.shape[0]

    @torch.inference_mode()
    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        hidden = self.forward(rows)[torch.tensor(list(wanted), device=self.device)]
        logits: Logits = reference.linear(hidden, self.weights.head).float().cpu().numpy()
        return logits

    @torch.inference_mode()
    def compute_logprobs(
        self, parts: Sequence[tuple[CachedSequence, Sequence[int]]], wanted: Sequence[int], ids: Sequence[int]
    ) -> list[float]:
        """The same without moving logits off the GPU, which takes longer than computing them."""
        hidden = self.forward(self.assign_slots(parts))
        rows, targets = (
            torch.tensor(list(each), device=self.device, dtype=torch.long) for each in (wanted, ids)
        )
        logits = reference.linear(hidden[rows], self.weights.head).float()
        found = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)
        values: list[float] = found.tolist()
        return values

    def prefill(self, parts: Sequence[tuple[CachedSequence, Sequence[int]]]) -> None:
        """Compute and commit the next ids of some sequences, all together and without logits."""
        rows = self.assign_slots(parts)
        size = next((each for each in CAPTURED_SIZES if each >= sum(len(ids) for ids, _ in rows)), 0)
        if self.captures and size and len(rows) <= CAPTURED_ROWS:
            self.replay_prefill(rows, size)
        else:
            self.forward(rows)
        for sequence, ids in parts:
            sequence.commit(len(ids))

    @torch.inference_mode()
    def forward(self, rows: Sequence[tuple[Sequence[int], Ints]]) -> Tensor:
        """The hidden states (T, E) of the next ids of some sequences, each with the slots of all of it."""
        return self.prefill_pass(prefill_inputs(rows, self.tree.capacity).to(self.device))

    @torch.inference_mode()
    def replay_prefill(self, rows: Sequence[tuple[Sequence[int], Ints]], size: int) -> None:
        """Prefill few tokens, padded to `size`, by a CUDA graph; it is captured on first use."""
        if size not in self.prefills:
            blocks = numpy.zeros((size // BLOCK + CAPTURED_ROWS, 4), numpy.int64)
            tables = numpy.full((CAPTURED_ROWS, self.weights.shape.context), self.tree.capacity, numpy.int32)
            ids = numpy.zeros(size, numpy.int64)
            empty = PrefillInputs(
                *map(torch.from_numpy, (ids, ids, ids + self.tree.capacity, tables, blocks))
            )
            inputs = empty.to(self.device)
            self.prefills[size] = inputs, self.capture(inputs, self.prefill_pass)
        inputs, graph = self.prefills[size]
        inputs.copy_from(prefill_inputs(rows, self.tree.capacity, size, len(inputs.blocks)))
        graph.replay()

    def capture(self, inputs: Inputs, step: Callable[[Inputs], Any]) -> CudaGraph:
        """A CUDA graph; all graphs share one memory pool, since they are replayed one after the other."""
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        return CudaGraph(inputs, step, self.pool)

    def prefill_pass(self, inputs: PrefillInputs) -> Tensor:
        x = self.ops.embed(self.weights.embedding, inputs.ids)
        return self.run_layers(x, self.ops.attend_prefill, inputs)

    def run_layers(
        self, x: Tensor, attention: Callable[..., None], inputs: DecodeInputs | PrefillInputs
    ) -> Tensor:
        """Hidden states (T, E) through all layers; `attention` takes the tokens' slots from `inputs`."""
        weights, width = self.weights, self.weights.shape.heads * self.weights.shape.width

        def attend(number: int, inner: Tensor) -> Tensor:
            # a parallel layer's attention replaces its values, in front of the feed-forward's hidden columns
            parallel = weights.layers[number].gates is None
            out = inner[:, 2 * width : 3 * width] if parallel else inner.new_empty(len(inner), width)
            attention(inner, self.keys[number], self.values[number], inputs, weights, out)
            return out

        for number, layer in enumerate(weights.layers):
            x = layer_forward(layer, x, number, attend, self.ops.linear)
        return x

    @torch.inference_mode()
    def decode_step(self, inputs: DecodeInputs, method: int, step: int = 0) -> None:
        """Compute and sample one more token of each batch slot, as number `step` of a launch."""
        x = self.run_layers(self.ops.embed(self.weights.embedding, inputs.ids), self.ops.attend, inputs)
        sample = reference.sample if method == SAMPLED_SORTED else self.ops.sample
        sample(self.ops.linear(x, self.weights.head), inputs, inputs.output[step], method != GREEDY)

    def decode_inputs(self, count: int) -> DecodeInputs:
        """The buffers of the smallest batch size with room for `count` completions."""
        size = next((each for each in BATCH_SIZES if each >= count), count)
        if size not in self.inputs:
            with torch.inference_mode():
                inputs = reference.decode_inputs(size, self.weights.shape.context, self.device)
                inputs.slot_tables.fill_(self.tree.capacity)
            self.inputs[size] = inputs
        return self.inputs[size]

    def decode_launcher(self, inputs: DecodeInputs, method: int, count: int) -> Callable[[], None]:
        """A function that starts `count` decode steps; making it may overwrite `inputs`."""

        def run(inputs: DecodeInputs) -> None:
            for step in range(count):
                self.decode_step(inputs, method, step)

        key = (len(inputs.ids), method, count)
        if key not in self.launchers:
            if self.captures:
                reset(inputs, self.tree.capacity)
                self.launchers[key] = self.capture(inputs, run).replay
            else:
                self.launchers[key] = lambda: run(inputs)
        return self.launchers[key]


def layer_forward(
    layer: FusedLayer,
    x: Tensor,
    number: int,
    attend: Callable[[int, Tensor], Tensor],
    linear: Callable[..., Tensor],
) -> Tensor:
    """Hidden states (T, E) through one layer."""
    if layer.gates is None or layer.down is None:
        width = layer.output_proj.weight.shape[0]
        inner = linear(x, layer.input_proj, activation=GELU, first=3 * width)
        attended = attend(number, inner)
        both = inner[:, 2 * width :]
        if attended.data_ptr() != both.data_ptr():
            both[:, :width] = attended
        return linear(both, layer.output_proj, residual=x, late=width)
    attended = attend(number, linear(x, layer.input_proj))
    x = linear(attended, layer.output_proj, residual=x)
    return linear(linear(x, layer.gates, activation=GATE), layer.down, residual=x)


def prefill_inputs(
    rows: Sequence[tuple[Sequence[int], Ints]], unused_slot: int, tokens: int = 0, blocks: int = 0
) -> PrefillInputs:
    """The next ids of some sequences, each with the slots of all of it, on the host.

    Padded to `tokens` and `blocks`; padding writes into `unused_slot`.
    """
    count, longest = sum(len(ids) for ids, _ in rows), max(len(slots) for _, slots in rows)
    size = max(count, tokens)
    ids, positions = numpy.zeros(size, numpy.int64), numpy.zeros(size, numpy.int64)
    slots = numpy.full(size, unused_slot, numpy.int64)
    tables = numpy.full((len(rows), longest), unused_slot, numpy.int32)
    cuts: list[tuple[int, int, int, int]] = []
    begin = 0
    for row, (some, table) in enumerate(rows):
        first, end = len(table) - len(some), begin + len(some)
        ids[begin:end], positions[begin:end] = some, range(first, len(table))
        slots[begin:end], tables[row, : len(table)] = table[first:], table
        for at in range(0, len(some), BLOCK):
            cuts.append((row, begin + at, min(BLOCK, len(some) - at), first + at))
        begin = end
    cuts += [(0, 0, 0, 0)] * (blocks - len(cuts))
    return PrefillInputs(*map(torch.from_numpy, (ids, positions, slots, tables, numpy.array(cuts))))


@torch.inference_mode()
def reset(inputs: DecodeInputs, unused_slot: int) -> None:
    """Clear the buffers of a batch: every slot at the first position, writing into the unused KV slot."""
    for each in fields(inputs):
        getattr(inputs, each.name).zero_()
    inputs.slot_tables.fill_(unused_slot)


def slot_count(weights: FusedWeights, free: int) -> int:
    """How many KV slots fit in `free` bytes; a few contexts at least, MOST_SLOTS at most."""
    shape = weights.shape
    each = 2 * len(weights.layers) * shape.kv_heads * shape.width * weights.embedding.element_size()
    return max(min(free // each, MOST_SLOTS), LEAST_SLOTS * min(shape.context, 4096))
