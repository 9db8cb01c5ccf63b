"""Writes replies together on a GPU, which chooses by itself and runs ahead of what is told.

A step feeds each lane the id that the step before it chose, so that the next one can start before the first
is read here; a reply's text is made meanwhile. What was written past a reply's end is left out.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtchat.inference.batching import BURST, EVERY
from mtchat.inference.cuda.decoder import DRAWN, LIKELIEST, SIZES, SORTED, GpuDecoder
from mtchat.inference.cuda.reference import RESERVED, SORTABLE, Board
from mtchat.inference.engine import Engine
from mtchat.inference.replies import Job, Lane, begun
from mtchat.inference.sequence import TreePath

AHEAD = 3  # steps that are started before the first of them is read
RESERVE = 16  # one in so many slots is put on a board for what comes next, of which most is not needed
LEAST = 16  # steps that a board is filled for, or to the end of a reply, however few slots there are
FEW = 4  # lanes whose tokens are told one by one
NONE: NDArray[numpy.float64] = numpy.empty(0)


@dataclass
class Running(Lane):
    """A reply on its way: `id` is the last of its sequence, which the next step feeds."""

    path: TreePath
    id: int
    chances: NDArray[numpy.float64]

    def take(self, id: int, logprob: float, burst: int) -> None:
        self.path.followed = [self.id]
        self.path.keep(1)
        self.id = id
        super().take(id, logprob, burst)


class Result:
    """What some steps chose for each lane, (steps, B, 2), on its way to the host."""

    def __init__(self, found: Tensor) -> None:
        self.event: Any = None
        if found.device.type == "cuda":
            self.values = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
            self.values.copy_(found, non_blocking=True)
            self.event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.event.record()
        else:
            self.values = found.clone()

    def read(self) -> list[list[list[float]]]:
        if self.event is not None:
            self.event.synchronize()
        steps: list[list[list[float]]] = self.values.tolist()
        return steps


class Lanes:
    """Replies of a model on a GPU, at most so many at once."""

    patience = 0.0

    def __init__(self, engine: Engine, most: int) -> None:
        assert isinstance(engine.decoder, GpuDecoder)
        self.engine, self.decoder = engine, engine.decoder
        self.most = most
        self.clear()

    def clear(self) -> None:
        """Forget all replies, wherever an interrupt came; what the device still writes is in free slots."""
        self.waiting: list[Job] = []
        self.lanes: list[Running] = []
        self.flight: deque[Result] = deque()
        self.place: Board | None = None
        self.left = self.steps = 0

    @property
    def idle(self) -> bool:
        return not self.lanes and not self.waiting

    def takes(self, job: Job) -> bool:
        """Whether there is room for it, however long its replies get."""
        jobs = [*self.waiting, job]
        count = len(self.lanes) + sum(len(each.samplings) for each in jobs)
        tokens = sum(lane.path.length + lane.left for lane in self.lanes)
        tokens += sum(len(each.ids) + each.room * len(each.samplings) for each in jobs)
        return self.idle or (count <= self.most and tokens <= self.decoder.tree.capacity)

    def add(self, job: Job) -> None:
        self.waiting.append(job)

    def step(self) -> None:
        """Tell one more token of each reply; now and then, let in those who wait and those who ended out."""
        self.steps += 1
        if self.waiting and (not self.lanes or self.steps >= EVERY):
            self.settle()
            jobs, self.waiting, self.steps = self.waiting, [], 0
            self.join(jobs)
        if self.place is None and self.lanes:
            self.load()
        while self.left and len(self.flight) < AHEAD:
            self.launch()
        if self.flight:
            self.land()
        going = [lane for lane in self.lanes if not lane.done]
        if not going or (not self.left and not self.flight) or len(going) <= len(self.lanes) // 2:
            self.settle()

    def join(self, jobs: Sequence[Job]) -> None:
        """Read prompts but for their last tokens, which are the first to be fed: some together.

        What the first of them share is read once more for each, and known to the later ones.
        """
        jobs = sorted(jobs, key=lambda job: len(job.ids))
        while jobs:
            group: list[tuple[Job, TreePath]] = []
            tokens = 0
            for job in jobs:
                path = self.decoder.open(job.ids)
                tokens += len(path.rest) - 1
                if group and tokens > self.decoder.most:
                    break
                group.append((job, path))
            jobs = jobs[len(group) :]
            self.read([(path, path.rest[:-1]) for _, path in group])
            for job, path in group:
                self.begin(job, path)

    def read(self, parts: Sequence[tuple[TreePath, Sequence[int]]]) -> None:
        most = self.decoder.most
        while parts := [(path, ids) for path, ids in parts if ids]:
            self.decoder.read([(path, ids[:most]) for path, ids in parts])
            parts = [(path, ids[most:]) for path, ids in parts]

    def begin(self, job: Job, path: TreePath) -> None:
        for number, reply in begun(self.engine, job, path.reused):
            warm = reply.chooser.sampling.temperature > 0
            chances = reply.chooser.random.random(job.room) if warm else NONE
            self.lanes.append(Running(job, number, reply, path.fork(), job.ids[-1], chances))

    def load(self) -> None:
        """Put the lanes on a board, with slots for what comes next."""
        # none may go beyond its context, though it has ended: the others' steps are its steps too
        context = self.decoder.weights.shape.context
        share = self.decoder.tree.capacity // RESERVE // len(self.lanes)
        count = min(
            max(min(RESERVED, share), LEAST),
            max(lane.left for lane in self.lanes),
            *(context - lane.path.length for lane in self.lanes),
        )
        room = [min(count, lane.left) for lane in self.lanes]
        free = self.decoder.free(sum(room))
        warm = [each for lane in self.lanes if (each := lane.reply.chooser.sampling).temperature]
        choice = LIKELIEST if not warm else DRAWN if all(each.top_k <= SORTABLE for each in warm) else SORTED
        self.place = self.decoder.board(len(self.lanes))
        run = self.decoder.run if len(self.lanes) <= FEW else 1
        counts = [each for each in (run, 1) if count >= run and (each == run or count % run)] or [1]
        self.players = {each: self.decoder.player(self.place, choice, each) for each in counts}
        size, nowhere = len(self.place.ids), self.decoder.tree.capacity
        width = max(lane.path.length for lane in self.lanes) + count
        host: dict[str, NDArray[Any]] = {
            "ids": numpy.zeros(size, numpy.int64),
            "lengths": numpy.zeros(size, numpy.int32),
            "tables": numpy.full((size, width), nowhere, numpy.int32),
            "heat": numpy.zeros(size, numpy.float32),
            "top_p": numpy.ones(size),
            "top_k": numpy.zeros(size, numpy.int32),
            "chances": numpy.zeros((size, count)),
        }
        for row, (lane, some) in enumerate(zip(self.lanes, room, strict=True)):
            slots = lane.path.ahead(free[:some])
            free = free[some:]
            sampling, written = lane.reply.chooser.sampling, lane.written
            host["ids"][row], host["lengths"][row] = lane.id, lane.path.length
            host["tables"][row, : len(slots)] = slots
            host["heat"][row], host["top_p"][row] = sampling.temperature, sampling.top_p
            host["top_k"][row] = sampling.top_k
            drawn = lane.chances[written : written + count]
            host["chances"][row, : len(drawn)] = drawn
        with torch.inference_mode():
            for name, values in host.items():
                place = getattr(self.place, name)
                (place[:, : values.shape[1]] if values.ndim == 2 else place).copy_(torch.from_numpy(values))
            self.place.drawn.zero_()
        self.left = count

    def launch(self) -> None:
        assert self.place is not None
        count = max(each for each in self.players if each <= self.left)
        self.players[count]()
        self.flight.append(Result(self.place.found[:count]))
        self.left -= count

    def land(self) -> None:
        """Take what the oldest steps chose into the replies."""
        burst = 1 if len(self.lanes) <= FEW else BURST
        for step in self.flight.popleft().read():
            for lane, (id, logprob) in zip(self.lanes, step, strict=False):
                if not lane.done:
                    lane.take(int(id), logprob, burst)

    def settle(self) -> None:
        """Take in all that was started, and let those who ended go: the lanes are as the device has them."""
        while self.flight:
            self.land()
        self.lanes = [lane for lane in self.lanes if not lane.done]
        self.place, self.left = None, 0


def lanes(engine: Engine) -> Lanes:
    return Lanes(engine, SIZES[-1])
