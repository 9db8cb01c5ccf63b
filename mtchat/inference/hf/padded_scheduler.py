"""The scheduler for transformers models that our GPU kernels cannot compute: one batch, padded on the left.

Prompts that arrive while others are decoded are prefilled together, every few steps, and join the batch; the
prefix that they share is computed once. A completion that ends leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DummyLayer, DynamicCache, DynamicLayer

from mtchat.inference.batching import Batcher, start_batcher
from mtchat.inference.cuda import reference
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.prefix_tree import common_prefix_length
from mtchat.inference.request import BatchSlot, GenerationState, Request, start_states
from mtchat.inference.scheduler import ADMIT_EVERY, ADMIT_PATIENCE, BURST

TYPICAL_TOKENS = 800  # of a prompt and its completion
TOP_CANDIDATES = 512  # of the most likely tokens that are sorted; all are where those hold too little


@dataclass
class PaddedBatch:
    """Completions and their KV cache of S positions, of which `mask` (B, S) says which are filled.

    `position` (B,) is that of the last token; `ids` (B,) come next.
    """

    slots: list[BatchSlot]
    cache: Any
    mask: Tensor
    position: Tensor
    ids: Tensor

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows only, and drop the positions that none of them fills."""
        kept = torch.tensor(rows, device=self.ids.device, dtype=torch.long)
        self.slots = [self.slots[row] for row in rows]
        self.mask, self.position, self.ids = self.mask[kept], self.position[kept], self.ids[kept]
        first = int(self.mask.any(0).int().argmax()) if rows else 0
        self.mask = self.mask[:, first:]
        for layer in filled_layers(self.cache):
            layer.keys, layer.values = layer.keys[kept, :, first:], layer.values[kept, :, first:]

    def append(self, others: "PaddedBatch") -> None:
        """Add the rows of another batch; the shorter ones are padded on the left."""
        width = max(self.mask.shape[1], others.mask.shape[1])
        for mine, other in zip(filled_layers(self.cache), filled_layers(others.cache), strict=True):
            mine.keys = torch.cat([pad_left(mine.keys, width, 2), pad_left(other.keys, width, 2)])
            mine.values = torch.cat([pad_left(mine.values, width, 2), pad_left(other.values, width, 2)])
        self.mask = torch.cat([pad_left(self.mask, width, 1), pad_left(others.mask, width, 1)])
        self.position = torch.cat([self.position, others.position])
        self.ids = torch.cat([self.ids, others.ids])
        self.slots += others.slots


def filled_layers(cache: Any) -> list[Any]:
    """The layers of a cache that have keys and values; some share those of others."""
    return [layer for layer in cache.layers if layer.keys is not None]


def new_cache(config: Any) -> Any:
    """An empty cache whose layers all keep every position, so that their rows can be padded alike.

    A sliding window is left to the mask.
    """
    growing: type[Any] = DynamicLayer
    layers = DynamicCache(config=config).layers
    return Cache(layers=[layer if isinstance(layer, DummyLayer) else growing() for layer in layers])


def pad_left(values: Tensor, width: int, dim: int) -> Tensor:
    """The values with zeros in front along a dimension, up to a width."""
    if values.shape[dim] == width:
        return values
    shape = list(values.shape)
    shape[dim] = width - values.shape[dim]
    return torch.cat([values.new_zeros(shape), values], dim)


class PaddedScheduler:
    """Completions of a transformers model: at most `max_sequences`, and `max_tokens` of keys and values."""

    def __init__(self, engine: Engine, max_sequences: int, max_tokens: int) -> None:
        assert isinstance(engine.decoder, TorchDecoder)
        self.engine, self.model = engine, engine.decoder.model
        self.max_sequences, self.max_tokens = max_sequences, max_tokens
        self.waiting: list[Request] = []
        self.batch: PaddedBatch | None = None
        self.steps = 0

    def flush(self) -> None: ...

    def clear(self) -> None:
        self.waiting, self.batch = [], None

    @property
    def idle(self) -> bool:
        return self.batch is None and not self.waiting

    @property
    def patience(self) -> float:
        return 0.0 if self.batch else ADMIT_PATIENCE

    def has_room(self, request: Request) -> bool:
        if self.idle:
            return True
        requests = [*self.waiting, request]
        count = sum(len(each.samplings) for each in requests)
        longest = max(len(each.ids) + each.max_tokens for each in requests)
        if self.batch:
            count += len(self.batch.slots)
            longest = max(
                longest, self.batch.mask.shape[1] + max(slot.remaining for slot in self.batch.slots)
            )
        return count <= self.max_sequences and count * longest <= self.max_tokens

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    @torch.inference_mode()
    def step(self) -> None:
        self.steps += 1
        if self.waiting and (self.batch is None or self.steps >= ADMIT_EVERY):
            requests, self.waiting, self.steps = self.waiting, [], 0
            batch, logits = self.prefill(requests)
            started = sample(batch, logits)
            if self.batch is None:
                self.batch = started
            elif started:
                self.batch.append(started)
        elif self.batch:
            self.batch = sample(self.batch, self.forward(self.batch))

    def prefill(self, requests: Sequence[Request]) -> tuple[PaddedBatch, Tensor]:
        """Compute prompts: a batch of all their completions, and the logits (B, V) after their prompts."""
        prompts = [request.ids for request in requests]
        device = self.model.device
        common = min(common_prefix_length(prompts[0], ids) for ids in prompts)
        common = min(common, min(map(len, prompts)) - 1)
        if any(DynamicCache(config=self.model.config).is_sliding):
            common = 0  # a window counts the padding that would come after it
        cache = new_cache(self.model.config)
        if common:
            self.model(
                input_ids=torch.tensor([prompts[0][:common]], device=device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache.batch_repeat_interleave(len(prompts))
        rests = [ids[common:] for ids in prompts]
        width = max(map(len, rests))
        pads = [width - len(rest) for rest in rests]
        ids = torch.tensor(
            [[0] * pad + rest for pad, rest in zip(pads, rests, strict=True)], device=device
        )  # (P, T)
        mask = torch.tensor(
            [[1] * common + [0] * pad + [1] * (width - pad) for pad in pads], device=device
        )  # (P, S)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions[:, common:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        order = [row for row, request in enumerate(requests) for _ in request.samplings]
        slots = [
            BatchSlot(request, *each)
            for request in requests
            for each in start_states(self.engine.vocabulary, request, 0)
        ]
        batch = PaddedBatch([], cache, mask, positions[:, -1], ids[:, -1])
        batch.slots = [slots[0]] * len(requests)
        batch.select(order)
        batch.slots = slots
        return batch, logits[torch.tensor(order, device=device)]

    def forward(self, batch: PaddedBatch) -> Tensor:
        """The logits (B, V) after the last ids, which are appended to the cache."""
        batch.mask = torch.cat([batch.mask, batch.mask.new_ones(len(batch.mask), 1)], 1)
        batch.position = batch.position + 1
        logits: Tensor = self.model(
            input_ids=batch.ids[:, None],
            attention_mask=batch.mask,
            position_ids=batch.position[:, None],
            past_key_values=batch.cache,
            use_cache=True,
        ).logits[:, -1]
        return logits


def sample(batch: PaddedBatch, logits: Tensor) -> PaddedBatch | None:
    """The batch with the next id of each completion; ended ones leave, and None is left when all have."""
    logits = logits.float()
    batch.ids = draw(logits, [slot.state for slot in batch.slots])
    logprobs = logits.gather(1, batch.ids[:, None])[:, 0] - logits.logsumexp(1)
    for slot, id, logprob in zip(batch.slots, batch.ids.tolist(), logprobs.tolist(), strict=True):
        slot.take(id, logprob, BURST)
    going = [row for row, slot in enumerate(batch.slots) if not slot.done]
    if not going:
        return None
    if len(going) < len(batch.slots):
        batch.select(going)
    return batch


def draw(logits: Tensor, states: Sequence[GenerationState]) -> Tensor:
    """The next ids (B,) after logits (B, V): as `sampler.Sampler` draws them, many at once."""
    ids = logits.argmax(1)
    rows = [row for row, state in enumerate(states) if state.sampler.sampling.temperature]
    if not rows:
        return ids
    samplings = [states[row].sampler.sampling for row in rows]
    double: dict[str, Any] = {"device": logits.device, "dtype": torch.float64}
    at = torch.tensor(rows, device=logits.device)
    temperature = torch.tensor([each.temperature for each in samplings], device=logits.device)
    top_k = torch.tensor([each.top_k for each in samplings], device=logits.device)
    top_p = torch.tensor([each.top_p for each in samplings], **double)
    uniform = torch.tensor([states[row].sampler.random.random() for row in rows], **double)
    scaled = logits[at] / temperature[:, None]
    weights = scaled.sub(scaled.amax(1, keepdim=True)).exp()
    whole = weights.sum(1, dtype=torch.float64)
    count = min(max([TOP_CANDIDATES, *(each.top_k for each in samplings)]), weights.shape[1])
    ordered, order = weights.topk(count, dim=1)
    if bool((ordered.sum(1, dtype=torch.float64) < top_p * whole).any()):
        ordered, order = weights.sort(dim=1, descending=True, stable=True)
    ids[at] = reference.draw_sorted(ordered, order, whole, top_p, top_k, uniform)
    return ids


def start_padded_batcher(engine: Engine, max_sequences: int = 512, share: float = 0.7) -> Batcher:
    """A batcher for a model on a GPU whose KV cache may take a share of the free memory.

    Padding would become part of a recurrent state: such models compute their sequences one after the other.
    """
    if not isinstance(engine.decoder, TorchDecoder):
        return start_batcher(engine, max_sequences)
    config = engine.decoder.model.config.get_text_config(decoder=True)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = torch.finfo(engine.decoder.model.dtype).bits // 8
    token = 2 * config.num_hidden_layers * heads * width * size
    free, _ = torch.cuda.mem_get_info(engine.decoder.model.device)
    max_tokens = min(int(share * free / token), max_sequences * TYPICAL_TOKENS)
    return Batcher(engine, PaddedScheduler(engine, max_sequences, max_tokens))
