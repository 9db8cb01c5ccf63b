"""Writes many replies together on a GPU: in waves, whose prompts are read at once, padded on the left.

The prefix that all prompts of a wave share is read once for all of them. A reply that ends leaves the
batch; the next wave begins when the last one has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mtchat.core.prompt import Piece
from mtchat.engine.batching import PATIENCE, Batcher
from mtchat.engine.decode import TorchDecoder
from mtchat.engine.engine import Engine, Job, Reply
from mtchat.engine.prefix import shared

BURST = 16  # tokens of a reply that are told at once
LONGEST = 1024  # tokens of a reply's context and text, as a rule
HEADS = 512  # of the likeliest tokens that are sorted first; all are where those hold too little


@dataclass
class Lane:
    """One reply of a wave, with the text that was not told yet."""

    job: Job
    number: int
    reply: Reply
    text: str = ""
    untold: int = 0


class Waves:
    """Replies of a transformers model, at most so many tokens of keys and values in a wave."""

    patience = PATIENCE

    def __init__(self, engine: Engine, most: int, tokens: int) -> None:
        assert isinstance(engine.decoder, TorchDecoder)
        self.engine, self.model = engine, engine.decoder.model
        self.most, self.tokens = most, tokens
        self.waiting: list[Job] = []
        self.lanes: list[Lane] = []

    @property
    def idle(self) -> bool:
        return not self.lanes and not self.waiting

    def takes(self, job: Job) -> bool:
        if self.lanes:
            return False
        jobs = [*self.waiting, job]
        rows = sum(len(each.samplings) for each in jobs)
        longest = max(len(each.ids) + each.room for each in jobs)
        return not self.waiting or (rows <= self.most and rows * longest <= self.tokens)

    def add(self, job: Job) -> None:
        self.waiting.append(job)

    @torch.inference_mode()
    def step(self) -> None:
        if self.waiting:
            logits = self.read(self.waiting)
            self.waiting = []
        else:
            logits = self.follow()
        self.choose(logits)

    def read(self, jobs: Sequence[Job]) -> Tensor:
        """Read the prompts of a wave: the logits (B, V) after each, a row for each reply."""
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
        logits = self.model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions[:, common:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        rows = torch.tensor(
            [row for row, job in enumerate(jobs) for _ in job.samplings], device=device
        )  # (B,)
        cache.batch_select_indices(rows)
        self.cache, self.seen, self.position = cache, seen[rows], positions[rows, -1]
        self.lanes = [lane for job in jobs for lane in self.lanes_of(job)]
        wanted: Tensor = logits[rows]
        return wanted

    def lanes_of(self, job: Job) -> list[Lane]:
        lanes = []
        for number, sampling in enumerate(job.samplings):
            reply = Reply(self.engine, job.ids, sampling, job.room, 0, job.watch)
            job.tell(number, reply.read())
            reply.begin()
            lanes.append(Lane(job, number, reply))
        return lanes

    def follow(self) -> Tensor:
        """The logits (B, V) after the last ids."""
        found: Tensor = self.model(
            input_ids=self.ids[:, None],
            attention_mask=self.seen,
            position_ids=self.position[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        return found

    def choose(self, logits: Tensor) -> None:
        """The next id of each reply; those that end leave."""
        logits = logits.float()
        ids = draw(logits, [lane.reply for lane in self.lanes])
        taken = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(1)
        going = []
        for row, (lane, id, logprob) in enumerate(zip(self.lanes, ids.tolist(), taken.tolist(), strict=True)):
            if not lane.job.closed and put(lane, id, logprob):
                going.append(row)
        kept = torch.tensor(going, device=ids.device, dtype=torch.long)
        if len(going) < len(self.lanes):
            self.lanes = [self.lanes[row] for row in going]
            ids = ids[kept]
            if self.lanes:
                self.cache.batch_select_indices(kept)
                self.seen, self.position = self.seen[kept], self.position[kept]
        if self.lanes:
            self.ids, self.position = ids, self.position + 1
            self.seen = torch.cat([self.seen, self.seen.new_ones(len(self.seen), 1)], 1)


def put(lane: Lane, id: int, logprob: float) -> bool:
    """Take an id into a reply, and say whether another is wanted."""
    reply = lane.reply
    piece = reply.write(id) if reply.take(id, logprob, reply.written) else Piece("", reply.cost())
    lane.text, lane.untold = lane.text + piece.text, lane.untold + 1
    if lane.untold == BURST and not reply.finish:
        lane.job.tell(lane.number, Piece(lane.text, piece.usage))
        lane.text, lane.untold = "", 0
    if reply.finish:
        last = reply.end()
        lane.job.tell(lane.number, Piece(lane.text + last.text, last.usage))
    return not reply.finish


def draw(logits: Tensor, replies: Sequence[Reply]) -> Tensor:
    """The next ids (B,) after logits (B, V): as `sampling.Chooser` draws them, many at once."""
    ids = logits.argmax(1)
    rows = [row for row, reply in enumerate(replies) if reply.chooser.sampling.temperature]
    if not rows:
        return ids
    samplings = [replies[row].chooser.sampling for row in rows]
    at = torch.tensor(rows, device=logits.device)
    heat = torch.tensor([each.temperature for each in samplings], device=logits.device)
    top_p = torch.tensor([each.top_p for each in samplings], device=logits.device, dtype=torch.float64)
    chance = torch.tensor(
        [replies[row].chooser.random.random() for row in rows], device=logits.device, dtype=torch.float64
    )
    ids[at] = nucleus(logits[at] / heat[:, None], top_p, chance, samplings)
    return ids


def nucleus(scaled: Tensor, top_p: Tensor, chance: Tensor, samplings: Sequence[Any]) -> Tensor:
    """One id of each row (B, V), by a number in [0, 1) each."""
    weights = scaled.sub(scaled.max(1, keepdim=True).values).exp()
    whole = weights.sum(1, dtype=torch.float64)
    wanted = top_p * whole
    least = max([HEADS, *(each.top_k for each in samplings)])
    sorted_weights, order = weights.topk(min(least, weights.shape[1]), dim=1)
    if bool((sorted_weights.sum(1, dtype=torch.float64) < wanted).any()):
        sorted_weights, order = weights.sort(dim=1, descending=True, stable=True)
    shares = sorted_weights.double()
    for row, each in enumerate(samplings):
        if each.top_k:
            shares[row, each.top_k :] = 0
            wanted[row] = top_p[row] * shares[row].sum()
    shares = shares.where(shares.cumsum(1) - shares < wanted[:, None], 0)
    sums = shares.cumsum(1)
    place = torch.searchsorted(sums, (chance * sums[:, -1])[:, None], right=True)[:, 0]
    return order.gather(1, place.clamp(max=order.shape[1] - 1)[:, None])[:, 0]


def serving(engine: Engine, most: int = 512, share: float = 0.6) -> Batcher:
    """A batcher for a model on a GPU, whose waves take so much of the memory that is free."""
    assert isinstance(engine.decoder, TorchDecoder)
    config = engine.decoder.model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = torch.finfo(engine.decoder.model.dtype).bits // 8
    token = 2 * config.num_hidden_layers * heads * width * size
    free, _ = torch.cuda.mem_get_info(engine.decoder.model.device)
    # keys and values are copied whole where they grow or a reply leaves: twice the memory for a moment
    tokens = min(int(share * free / 2 / token), most * LONGEST)
    return Batcher(engine, Waves(engine, most, tokens))
