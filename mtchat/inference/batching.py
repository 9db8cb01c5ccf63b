"""Serves many threads with one engine: their requests are batched, and each thread gets its own pieces.

What is no completion, such as the score of a text, is computed between two steps of the batch.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mtchat.inference.engine import Engine
from mtchat.inference.request import Request
from mtchat.inference.scheduler import CpuScheduler, Scheduler
from mtchat.session.prompt import Piece, Prompt, Signals
from mtchat.session.settings import Sampling

T = TypeVar("T")
StreamItem = tuple[int, Piece] | BaseException
Submission = tuple[Request, "queue.SimpleQueue[StreamItem]"]


class BatcherClosed(Exception):  # noqa: N818 - not an error: the caller closed it
    """The batcher was closed while a completion was still wanted."""


@dataclass(frozen=True)
class Job:
    """Something to compute between two steps, for the thread that waits for the result."""

    compute: Callable[[], Any]
    result: "Future[Any]"

    def run(self) -> None:
        try:
            self.result.set_result(self.compute())
        except BaseException as error:
            self.result.set_exception(error)


class Batcher:
    """An engine for many threads at once, each of which uses it as a model of its own.

    `close` ends what is still being generated.
    """

    def __init__(self, engine: Engine, scheduler: Scheduler) -> None:
        self.engine = engine
        self.card = engine.card
        self.scheduler = scheduler
        self.inbox: queue.SimpleQueue[Submission | Job | None] = queue.SimpleQueue()
        self.next: Submission | None = None
        self.admitted: list[Submission] = []
        self.closing = threading.Lock()
        self.closed: BaseException | None = None
        self.encoding = threading.Lock()
        self.thread = threading.Thread(target=self.run, name="batching", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.inbox.put(None)
        self.thread.join()
        self.engine.close()

    def text(self, prompt: Prompt) -> str:
        """As `Engine.text`."""
        with self.encoding:
            return self.engine.text(prompt)

    def count(self, text: str) -> int:
        """As `Engine.count`."""
        with self.encoding:
            return self.engine.count(text)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """As `Engine.complete`."""
        return (piece for _, piece in self.engine.end_thoughts(prompt, self.stream(prompt, [sampling])))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """As `Engine.candidates`."""
        seeded = [replace(sampling, seed=sampling.seed + number) for number in range(count)]
        return self.engine.end_thoughts(prompt, self.stream(prompt, seeded))

    def score(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()) -> tuple[float, ...]:
        """As `Engine.score`."""
        return self.between_steps(lambda: self.engine.score(prompt, texts, leads))

    def classify(self, prompt: Prompt) -> Signals | None:
        """As `Engine.classify`."""
        if self.engine.probe is None:
            return None
        return self.between_steps(lambda: self.engine.classify(prompt))

    def between_steps(self, compute: Callable[[], T]) -> T:
        """What the engine computes while the batch rests: the KV cache is for one thread at a time."""

        def compute_alone() -> T:
            self.scheduler.flush()
            with self.encoding:
                return compute()

        result: Future[T] = Future()
        self.submit(Job(compute_alone, result))
        return result.result()

    def submit(self, item: Submission | Job) -> None:
        """Hand something to the thread of the batch; the reason why it has ended, if it has."""
        with self.closing:
            if self.closed is not None:
                raise self.closed
            self.inbox.put(item)

    def stream(self, prompt: Prompt, samplings: Sequence[Sampling]) -> Iterator[tuple[int, Piece]]:
        """The pieces of one completion for each sampling, each piece with the number of its completion."""
        with self.encoding:  # a tokenizer is for one thread at a time
            ids = self.engine.check_prompt(self.engine.encode(prompt))
        items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
        max_tokens = self.engine.max_new_tokens(ids, samplings[0], prompt)
        request = Request(
            ids,
            list(samplings),
            max_tokens,
            lambda number, piece: items.put((number, piece)),
            self.engine.thought_end(prompt),
        )
        self.submit((request, items))
        left = len(samplings)
        try:
            while left:
                item = items.get()
                if isinstance(item, BaseException):
                    raise item
                left -= bool(item[1].usage.finish)
                yield item
        finally:
            request.cancelled = True

    def run(self) -> None:
        """Step until closed, or until the model fails; then every waiting thread gets the reason."""
        reason: BaseException = BatcherClosed("the batcher was closed")
        try:
            while self.admit():
                self.scheduler.step()
        except BaseException as error:
            reason = error
        with self.closing:
            self.closed = reason
            for _, items in self.admitted:
                items.put(reason)
            with contextlib.suppress(queue.Empty):
                while True:
                    left = self.inbox.get_nowait()
                    if isinstance(left, Job):
                        left.result.set_exception(reason)
                    elif left:
                        left[1].put(reason)

    def admit(self) -> bool:
        """Add requests while the scheduler has room, waiting for one if it is idle; False once closed.

        Jobs are done at once.
        """
        while True:
            if self.next is None:
                try:
                    found = self.inbox.get(block=self.scheduler.idle)
                except queue.Empty:
                    return True
                if found is None:
                    return False
                if isinstance(found, Job):
                    found.run()
                    continue
                self.next = found
                self.admitted = [each for each in self.admitted if not each[0].cancelled]
                self.admitted.append(found)
            if not self.scheduler.has_room(self.next[0]):
                return True
            self.scheduler.add(self.next[0])
            self.next = None
            if self.scheduler.patience and not self.wait_for_another():
                return True

    def wait_for_another(self) -> bool:
        """Whether something arrives within the scheduler's patience; a request becomes the next one."""
        try:
            found = self.inbox.get(timeout=self.scheduler.patience)
        except queue.Empty:
            return False
        if found is None:
            self.inbox.put(None)
            return False
        if isinstance(found, Job):
            found.run()
        else:
            self.next = found
            self.admitted.append(found)
        return True


def start_batcher(engine: Engine, max_sequences: int) -> Batcher:
    """A batcher over the CPU scheduler, for at most `max_sequences` completions at once."""
    return Batcher(engine, CpuScheduler(engine.decoder, engine.vocabulary, max_sequences))
