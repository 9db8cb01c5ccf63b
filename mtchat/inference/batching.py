"""Serves many threads with one engine: their requests are batched, and each thread gets its own pieces."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mtchat.inference.engine import Engine
from mtchat.inference.request import Request
from mtchat.inference.scheduler import CpuScheduler, Scheduler
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Sampling

StreamItem = tuple[int, Piece] | BaseException
Submission = tuple[Request, "queue.SimpleQueue[StreamItem]"]


class BatcherClosed(Exception):  # noqa: N818 - not an error: the caller closed it
    """The batcher was closed while a completion was still wanted."""


class Batcher:
    """An engine for many threads at once. `close` ends what is still being generated."""

    def __init__(self, engine: Engine, scheduler: Scheduler) -> None:
        self.engine = engine
        self.card = engine.card
        self.scheduler = scheduler
        self.inbox: queue.SimpleQueue[Submission | None] = queue.SimpleQueue()
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

    def count(self, prompt: Prompt) -> int:
        """The number of tokens of a prompt."""
        with self.encoding:
            return len(self.engine.encode(prompt))

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """As `Engine.complete`."""
        return (piece for _, piece in self.stream(prompt, [sampling]))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """As `Engine.candidates`."""
        return self.stream(
            prompt, [replace(sampling, seed=sampling.seed + number) for number in range(count)]
        )

    def stream(self, prompt: Prompt, samplings: Sequence[Sampling]) -> Iterator[tuple[int, Piece]]:
        """The pieces of one completion for each sampling, each piece with the number of its completion."""
        with self.encoding:  # a tokenizer is for one thread at a time
            ids = self.engine.check_prompt(self.engine.encode(prompt))
        items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
        max_tokens = self.engine.max_new_tokens(ids, samplings[0])
        request = Request(ids, list(samplings), max_tokens, lambda number, piece: items.put((number, piece)))
        with self.closing:
            if self.closed is not None:
                raise self.closed
            self.inbox.put((request, items))
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
                    if submission := self.inbox.get_nowait():
                        submission[1].put(reason)

    def admit(self) -> bool:
        """Add requests while the scheduler has room, waiting for one if it is idle; False once closed."""
        while True:
            if self.next is None:
                try:
                    self.next = self.inbox.get(block=self.scheduler.idle)
                except queue.Empty:
                    return True
                if self.next is None:
                    return False
                self.admitted = [each for each in self.admitted if not each[0].cancelled]
                self.admitted.append(self.next)
            if not self.scheduler.has_room(self.next[0]):
                return True
            self.scheduler.add(self.next[0])
            self.next = None
            if self.scheduler.patience and not self.wait_for_another():
                return True

    def wait_for_another(self) -> bool:
        """Whether another request arrives within the scheduler's patience; it becomes the next one."""
        try:
            self.next = self.inbox.get(timeout=self.scheduler.patience)
        except queue.Empty:
            return False
        if self.next is None:
            self.inbox.put(None)
            return False
        self.admitted.append(self.next)
        return True


def start_batcher(engine: Engine, max_sequences: int) -> Batcher:
    """A batcher over the CPU scheduler, for at most `max_sequences` completions at once."""
    return Batcher(engine, CpuScheduler(engine.decoder, engine.vocabulary, max_sequences))
