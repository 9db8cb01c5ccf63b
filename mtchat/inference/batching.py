"""Serves many threads with one engine: what they ask for is written together, a token of each in a step.

Continuous batching, as Yu et al. 2022 (Orca) have it: a reply joins when it is asked for, and leaves when it
ends. `gpu.lanes` and `gpu.padded` do the same on a GPU.
"""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mtchat.inference.engine import Engine
from mtchat.inference.replies import Batch, Job, Writers
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Sampling

PATIENCE = 0.05
EVERY = 8  # steps after which those who wait for a GPU are let in
BURST = 16  # tokens of a reply that are told at once where many are written


class Steps:
    """Replies of any decoder, each joining at once: at most so many together."""

    patience: float = 0.0

    def __init__(self, engine: Engine, most: int) -> None:
        self.batch = Batch(engine)
        self.most = most

    def takes(self, job: Job) -> bool:
        return self.idle or len(self.batch.rows) + len(job.samplings) <= self.most

    def add(self, job: Job) -> None:
        for _ in self.batch.read(job):
            pass

    def step(self) -> None:
        for _ in self.batch.step():
            pass

    def clear(self) -> None:
        self.batch = Batch(self.batch.engine)

    @property
    def idle(self) -> bool:
        return not self.batch.rows


Heard = tuple[int, Piece] | BaseException
Request = tuple[Job, "queue.SimpleQueue[Heard]"]


class Closed(Exception):  # noqa: N818 - whoever closed it knows
    """The batcher was closed while a reply was still wanted."""


class Batcher:
    """An engine for many threads at once. Close it when done: what is still being written ends there."""

    def __init__(self, engine: Engine, writers: Writers) -> None:
        self.engine = engine
        self.card = engine.card
        self.writers = writers
        self.asked: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self.waiting: Request | None = None
        self.sinks: list[Request] = []
        self.closing = threading.Lock()
        self.closed: BaseException | None = None
        self.encoding = threading.Lock()
        self.thread = threading.Thread(target=self.serve, name="batching", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.asked.put(None)
        self.thread.join()
        self.engine.close()

    def count(self, prompt: Prompt) -> int:
        """The tokens of a prompt."""
        with self.encoding:
            return len(self.engine.encode(prompt))

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """As `Engine.complete`."""
        return (piece for _, piece in self.pieces(prompt, [sampling]))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """As `Engine.candidates`."""
        return self.pieces(
            prompt, [replace(sampling, seed=sampling.seed + number) for number in range(count)]
        )

    def pieces(self, prompt: Prompt, samplings: Sequence[Sampling]) -> Iterator[tuple[int, Piece]]:
        with self.encoding:  # a tokenizer is for one thread at a time
            ids = self.engine.checked(self.engine.encode(prompt))
        heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        room = self.engine.room(ids, samplings[0])
        job = Job(ids, list(samplings), room, lambda number, piece: heard.put((number, piece)))
        with self.closing:
            if self.closed is not None:
                raise self.closed
            self.asked.put((job, heard))
        left = len(samplings)
        try:
            while left:
                said = heard.get()
                if isinstance(said, BaseException):
                    raise said
                left -= bool(said[1].usage.finish)
                yield said
        finally:
            job.closed = True

    def serve(self) -> None:
        """Write until it is closed; whoever still waits for a reply then is told why none comes."""
        reason: BaseException = Closed("no more replies are written")
        try:
            while self.admit():
                self.writers.step()
        except BaseException as error:
            reason = error
        with self.closing:
            self.closed = reason
            for _, heard in self.sinks:
                heard.put(reason)
            with contextlib.suppress(queue.Empty):
                while True:
                    if request := self.asked.get_nowait():
                        request[1].put(reason)

    def admit(self) -> bool:
        """Take in what was asked for, as far as there is room; waits where there is nothing to write.

        False when it is closed.
        """
        while True:
            if self.waiting is None:
                try:
                    self.waiting = self.asked.get(block=self.writers.idle)
                except queue.Empty:
                    return True
                if self.waiting is None:
                    return False
                self.sinks = [each for each in self.sinks if not each[0].closed]
                self.sinks.append(self.waiting)
            if not self.writers.takes(self.waiting[0]):
                return True
            self.writers.add(self.waiting[0])
            self.waiting = None
            if self.writers.patience and not self.more():
                return True

    def more(self) -> bool:
        """Whether something else is asked for soon; it is then the next to be taken in."""
        try:
            self.waiting = self.asked.get(timeout=self.writers.patience)
        except queue.Empty:
            return False
        if self.waiting is None:
            self.asked.put(None)
            return False
        self.sinks.append(self.waiting)
        return True


def serving(engine: Engine, most: int) -> Batcher:
    """A batcher that writes at most so many replies at once."""
    return Batcher(engine, Steps(engine, most))
