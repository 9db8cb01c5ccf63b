"""Writes many replies of models that `lanes` cannot: as one batch of transformers', padded on the left.

Prompts that come while others are written are read together, every few steps, and join the batch; the prefix
that they share is read once for all of them. A reply that ends leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mtchat.inference.batching import BURST, EVERY, PATIENCE, Batcher
from mtchat.inference.cuda import reference
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder, shared
from mtchat.inference.replies import Job, Lane, Reply, begun

LONGEST = 800  # tokens of a reply's context and text, as a rule
HEADS = 512  # of the likeliest tokens that are sorted first; all are where those hold too little


@dataclass
class Rows:
    """Replies with what the model knows of them: a cache of S positions, of which `seen` (B, S) count.

    `position` (B,) is that of the last token; `ids` (B,) come next.
    """

    lanes: list[Lane]
    cache: Any
    seen: Tensor
    position: Tensor
    ids: Tensor

    def keep(self, rows: Sequence[int]) -> None:
        """Leave out all other rows, and the positions that then no row has."""
        kept = torch.tensor(rows, device=self.ids.device, dtype=torch.long)
        self.lanes = [self.lanes[row] for row in rows]
        self.seen, self.position, self.ids = self.seen[kept], self.position[kept], self.ids[kept]
        first = int(self.seen.any(0).int().argmax()) if rows else 0
        self.seen = self.seen[:, first:]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[kept, :, first:], layer.values[kept, :, first:]

    def join(self, others: "Rows") -> None:
        """Take other rows in; the shorter ones are padded on the left."""
        width = max(self.seen.shape[1], others.seen.shape[1])
        for mine, other in zip(self.cache.layers, others.cache.layers, strict=True):
            mine.keys = torch.cat([widened(mine.keys, width, 2), widened(other.keys, width, 2)])
            mine.values = torch.cat([widened(mine.values, width, 2), widened(other.values, width, 2)])
        self.seen = torch.cat([widened(self.seen, width, 1), widened(others.seen, width, 1)])
        self.position = torch.cat([self.position, others.position])
        self.ids = torch.cat([self.ids, others.ids])
        self.lanes += others.lanes


def widened(values: Tensor, width: int, dim: int) -> Tensor:
    """The values with zeros before them along a dimension, up to a width."""
    if values.shape[dim] == width:
        return values
    shape = list(values.shape)
    shape[dim] = width - values.shape[dim]
    return torch.cat([values.new_zeros(shape), values], dim)


class Padded:
    """Replies of a transformers model, at most so many, and so many tokens of keys and values."""

    def __init__(self, engine: Engine, most: int, tokens: int) -> None:
        assert isinstance(engine.decoder, TorchDecoder)
        self.engine, self.model = engine, engine.decoder.model
        self.most, self.tokens = most, tokens
        self.waiting: list[Job] = []
        self.rows: Rows | None = None
        self.steps = 0

    def clear(self) -> None:
        self.waiting, self.rows = [], None

    @property
    def idle(self) -> bool:
        return self.rows is None and not self.waiting

    @property
    def patience(self) -> float:
        return 0.0 if self.rows else PATIENCE

    def takes(self, job: Job) -> bool:
        if self.idle:
            return True
        jobs = [*self.waiting, job]
        count = sum(len(each.samplings) for each in jobs)
        longest = max(len(each.ids) + each.room for each in jobs)
        if self.rows:
            count += len(self.rows.lanes)
            longest = max(longest, self.rows.seen.shape[1] + max(lane.left for lane in self.rows.lanes))
        return count <= self.most and count * longest <= self.tokens

    def add(self, job: Job) -> None:
        self.waiting.append(job)

    @torch.inference_mode()
    def step(self) -> None:
        self.steps += 1
        if self.waiting and (self.rows is None or self.steps >= EVERY):
            jobs, self.waiting, self.steps = self.waiting, [], 0
            rows, logits = self.read(jobs)
            chosen = choose(rows, logits)
            if self.rows is None:
                self.rows = chosen
            elif chosen:
                self.rows.join(chosen)
        elif self.rows:
            self.rows = choose(self.rows, self.follow(self.rows))

    def read(self, jobs: Sequence[Job]) -> tuple[Rows, Tensor]:
        """Read prompts: a row for each reply, and the logits (B, V) after its prompt."""
        prompts = [job.ids for job in jobs]
        device = self.model.device
        common = min(shared(prompts[0], ids) for ids in prompts)
        common = min(common, min(map(len, prompts)) - 1)
        cache: Any = DynamicCache(config=self.model.config)
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
        seen = torch.tensor(
            [[1] * common + [0] * pad + [1] * (width - pad) for pad in pads], device=device
        )  # (P, S)
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions[:, common:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        order = [row for row, job in enumerate(jobs) for _ in job.samplings]
        lanes = [Lane(job, *each) for job in jobs for each in begun(self.engine, job, 0)]
        rows = Rows([], cache, seen, positions[:, -1], ids[:, -1])
        rows.lanes = [lanes[0]] * len(jobs)
        rows.keep(order)
        rows.lanes = lanes
        return rows, logits[torch.tensor(order, device=device)]

    def follow(self, rows: Rows) -> Tensor:
        """The logits (B, V) after the last ids, which count from now on."""
        rows.seen = torch.cat([rows.seen, rows.seen.new_ones(len(rows.seen), 1)], 1)
        rows.position = rows.position + 1
        found: Tensor = self.model(
            input_ids=rows.ids[:, None],
            attention_mask=rows.seen,
            position_ids=rows.position[:, None],
            past_key_values=rows.cache,
            use_cache=True,
        ).logits[:, -1]
        return found


def choose(rows: Rows, logits: Tensor) -> Rows | None:
    """The rows with the next id of each reply; those that end leave, and None is left when all have."""
    logits = logits.float()
    rows.ids = draw(logits, [lane.reply for lane in rows.lanes])
    taken = logits.gather(1, rows.ids[:, None])[:, 0] - logits.logsumexp(1)
    for lane, id, logprob in zip(rows.lanes, rows.ids.tolist(), taken.tolist(), strict=True):
        lane.take(id, logprob, BURST)
    going = [row for row, lane in enumerate(rows.lanes) if not lane.done]
    if not going:
        return None
    if len(going) < len(rows.lanes):
        rows.keep(going)
    return rows


def draw(logits: Tensor, replies: Sequence[Reply]) -> Tensor:
    """The next ids (B,) after logits (B, V): as `sampling.Chooser` draws them, many at once."""
    ids = logits.argmax(1)
    rows = [row for row, reply in enumerate(replies) if reply.chooser.sampling.temperature]
    if not rows:
        return ids
    samplings = [replies[row].chooser.sampling for row in rows]
    double: dict[str, Any] = {"device": logits.device, "dtype": torch.float64}
    at = torch.tensor(rows, device=logits.device)
    heat = torch.tensor([each.temperature for each in samplings], device=logits.device)
    top_k = torch.tensor([each.top_k for each in samplings], device=logits.device)
    top_p = torch.tensor([each.top_p for each in samplings], **double)
    chance = torch.tensor([replies[row].chooser.random.random() for row in rows], **double)
    scaled = logits[at] / heat[:, None]
    weights = scaled.sub(scaled.amax(1, keepdim=True)).exp()
    whole = weights.sum(1, dtype=torch.float64)
    heads = min(max([HEADS, *(each.top_k for each in samplings)]), weights.shape[1])
    ordered, order = weights.topk(heads, dim=1)
    if bool((ordered.sum(1, dtype=torch.float64) < top_p * whole).any()):
        ordered, order = weights.sort(dim=1, descending=True, stable=True)
    ids[at] = reference.drawn_of(ordered, order, whole, top_p, top_k, chance)
    return ids


def serving(engine: Engine, most: int = 512, share: float = 0.7) -> Batcher:
    """A batcher for a model on a GPU that takes so much of the memory that is free."""
    assert isinstance(engine.decoder, TorchDecoder)
    config = engine.decoder.model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = torch.finfo(engine.decoder.model.dtype).bits // 8
    token = 2 * config.num_hidden_layers * heads * width * size
    free, _ = torch.cuda.mem_get_info(engine.decoder.model.device)
    return Batcher(engine, Padded(engine, most, min(int(share * free / token), most * LONGEST)))
