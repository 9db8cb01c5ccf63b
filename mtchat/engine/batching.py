"""Serves many threads with one engine: what they ask for is written together, a token of each in a step.

Continuous batching, as Yu et al. 2022 (Orca) have it: a reply joins when it is asked for, and leaves when it
ends. On a GPU replies come in waves instead, see `waves`.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from mtchat.core.prompt import Piece, Prompt
from mtchat.core.settings import Sampling
from mtchat.engine.engine import Batch, Engine, Job

PATIENCE = 0.05  # seconds that a wave waits for one more reply to write with it


class Writers(Protocol):
    """What writes replies together."""

    patience: float

    def takes(self, job: Job) -> bool:
        """Whether there is room for it now."""
        ...

    def add(self, job: Job) -> None: ...

    def step(self) -> None: ...

    @property
    def idle(self) -> bool: ...


class Steps:
    """Replies of any decoder, each joining at once: at most so many together."""

    patience = 0.0

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

    @property
    def idle(self) -> bool:
        return not self.batch.rows


Heard = tuple[int, Piece] | BaseException


class Batcher:
    """An engine for many threads at once. Close it when done: what is still being written ends there."""

    def __init__(self, engine: Engine, writers: Writers) -> None:
        self.engine = engine
        self.card = engine.card
        self.writers = writers
        self.asked: queue.SimpleQueue[tuple[Job, queue.SimpleQueue[Heard]] | None] = queue.SimpleQueue()
        self.sinks: list[tuple[Job, queue.SimpleQueue[Heard]]] = []
        self.encoding = threading.Lock()
        self.thread = threading.Thread(target=self.serve, name="batching", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.asked.put(None)
        self.thread.join()
        self.engine.close()

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
        """Write until it is closed; a failure is told to whoever waits for a reply, and ends it all."""
        waiting: tuple[Job, queue.SimpleQueue[Heard]] | None = None
        try:
            while True:
                if waiting is None and self.writers.idle:
                    waiting = self.asked.get()
                    if waiting is None:
                        return
                while waiting is not None and self.writers.takes(waiting[0]):
                    self.sinks = [each for each in self.sinks if not each[0].closed]
                    self.sinks.append(waiting)
                    self.writers.add(waiting[0])
                    waiting = None
                    patience = self.writers.patience
                    try:
                        waiting = self.asked.get(timeout=patience) if patience else self.asked.get_nowait()
                    except queue.Empty:
                        break
                    if waiting is None:
                        return
                self.writers.step()
                if waiting is None and not self.writers.patience:
                    try:
                        waiting = self.asked.get_nowait()
                    except queue.Empty:
                        continue
                    if waiting is None:
                        return
        except BaseException as error:
            for _, heard in [*self.sinks, *([waiting] if waiting else [])]:
                heard.put(error)
            raise


def serving(engine: Engine, most: int) -> Batcher:
    """A batcher that writes at most so many replies at once."""
    return Batcher(engine, Steps(engine, most))
