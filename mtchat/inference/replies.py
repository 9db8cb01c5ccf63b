"""Replies while they are written: alone, or together in a batch, and what writes them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

from mtchat.inference.decoder import Logits
from mtchat.inference.detokenizer import Detokeniser
from mtchat.inference.sampler import Chooser, likelihood
from mtchat.session.prompt import Piece, Usage
from mtchat.session.settings import Sampling

if TYPE_CHECKING:
    from mtchat.inference.engine import Engine


class Writers(Protocol):
    """What writes replies together."""

    @property
    def patience(self) -> float:
        """Seconds to wait for one more reply that can begin with those that wait already."""
        ...

    def takes(self, job: "Job") -> bool:
        """Whether there is room for it now."""
        ...

    def add(self, job: "Job") -> None: ...

    def step(self) -> None: ...

    def clear(self) -> None:
        """Forget all replies: nobody listens."""
        ...

    @property
    def idle(self) -> bool: ...


@dataclass
class Job:
    """Replies that are wanted to one prompt, one for each sampling; `tell` hears their pieces.

    Once it is `closed` nobody listens, and nothing more is written of it.
    """

    ids: list[int]
    samplings: list[Sampling]
    room: int
    tell: Callable[[int, Piece], None]
    closed: bool = False
    watch: "Stopwatch" = field(default_factory=lambda: Stopwatch())


@dataclass
class Row:
    """One reply of a batch: its number in its job, where it stands, and the logits (V,) after that."""

    job: Job
    number: int
    reply: "Reply"
    path: Any
    logits: Logits


@dataclass
class Lane:
    """One reply of many whose text is made in bursts: `untold` ids are taken, and no text yet."""

    job: Job
    number: int
    reply: "Reply"
    untold: list[int] = field(default_factory=list, kw_only=True)
    done: bool = field(default=False, kw_only=True)

    @property
    def written(self) -> int:
        return self.reply.written + len(self.untold)

    @property
    def left(self) -> int:
        """The most tokens that may still come."""
        return self.reply.room - self.written

    def take(self, id: int, logprob: float, burst: int) -> None:
        """Take an id; so many are told at once, or fewer where the reply ends."""
        reply = self.reply
        if self.job.closed:
            self.done = True
            return
        if reply.take(id, logprob, self.written):
            self.untold.append(id)
        if self.untold and (reply.finish or len(self.untold) >= burst):
            piece = reply.write(*self.untold)
            self.untold = []
            self.job.tell(self.number, piece)
        if reply.finish:
            self.job.tell(self.number, reply.end())
            self.done = True


class Batch:
    """Replies that are written together, one token of each in a step, whatever their prompts."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.rows: list[Row] = []

    def read(self, job: Job) -> Iterator[None]:
        """Read a prompt, in stretches, and take its replies in."""
        path = self.engine.decoder.open(job.ids)
        replies = [
            Reply(self.engine, job.ids, sampling, job.room, path.reused, job.watch)
            for sampling in job.samplings
        ]
        for logits in path.read():
            last = logits
            for number, reply in enumerate(replies):
                job.tell(number, reply.read())
            yield
        for number, reply in enumerate(replies):
            reply.begin()
            self.rows.append(Row(job, number, reply, path.fork(), last))

    def step(self) -> Iterator[None]:
        """Write one more token of each reply; those that end leave."""
        self.rows = [row for row in self.rows if not row.job.closed]
        chosen = [row.reply.choose([row.logits], []) for row in self.rows]
        for row, ids in zip(self.rows, chosen, strict=True):
            for id in ids:
                row.job.tell(row.number, row.reply.write(id))
            if row.reply.finish:
                row.job.tell(row.number, row.reply.end())
        pairs = [(row, ids[0]) for row, ids in zip(self.rows, chosen, strict=True) if not row.reply.finish]
        self.rows = [row for row, _ in pairs]
        yield
        if pairs:
            after = self.engine.decoder.follow_each([row.path for row in self.rows], [id for _, id in pairs])
            for row, logits in zip(self.rows, after, strict=True):
                row.path.keep(1)  # before any other prompt is read, which would take the places
                row.logits = logits


class Reply:
    """One completion while it is written: its text so far, why it ended, and what it cost."""

    def __init__(
        self, engine: "Engine", ids: list[int], sampling: Sampling, room: int, reused: int, watch: "Stopwatch"
    ) -> None:
        self.ends = engine.ends
        self.words = Detokeniser(engine.vocabulary, context=ids)
        self.chooser = Chooser(sampling)
        self.room = room
        self.watch = watch
        self.written = 0
        self.finish = ""
        self.usage = Usage(prompt_tokens=len(ids), cached_tokens=reused)
        self.began = 0.0
        self.logprob = self.min_logprob = 0.0

    def read(self) -> Piece:
        """A stretch of the prompt has been read."""
        self.usage = replace(self.usage, prefill_seconds=self.watch.seconds())
        return Piece("", self.usage)

    def begin(self) -> None:
        """The prompt has been read; from now on the model writes."""
        self.began = self.watch.seconds()

    def choose(self, rows: Sequence[Logits], guess: Sequence[int]) -> list[int]:
        """The next ids: one, and one more for each guess that comes true; `finish` is set where they end."""
        found: list[int] = []
        for row, expected in zip_longest(rows, guess):
            id = self.chooser.choose(row)
            if not self.take(id, likelihood(row, id), self.written + len(found)):
                break
            found.append(id)
            if self.finish or id != expected:
                break
        return found

    def take(self, id: int, logprob: float, written: int) -> bool:
        """Whether an id, chosen after so many, belongs to the text; `finish` is set where it ends there."""
        self.logprob += logprob
        self.min_logprob = min(self.min_logprob, logprob)
        if id in self.ends:
            self.finish = "stop"
            return False
        if written + 1 == self.room:
            self.finish = "length"
        return True

    def write(self, *ids: int) -> Piece:
        self.written += len(ids)
        text = self.words.push(*ids)
        return Piece(text, self.cost())

    def end(self) -> Piece:
        return Piece(self.words.finish(), replace(self.cost(), finish=self.finish))

    def cost(self) -> Usage:
        return replace(
            self.usage,
            completion_tokens=self.written,
            decode_seconds=self.watch.seconds() - self.began,
            logprob=round(self.logprob, 4),
            min_logprob=round(self.min_logprob, 4),
        )


def begun(engine: "Engine", job: Job, reused: int) -> Iterator[tuple[int, Reply]]:
    """The replies of a job, by their numbers, once all of its prompt was read."""
    for number, sampling in enumerate(job.samplings):
        reply = Reply(engine, job.ids, sampling, job.room, reused, job.watch)
        job.tell(number, reply.read())
        reply.begin()
        yield number, reply


class Stopwatch:
    """Seconds spent here, without those that the reader of the pieces takes."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.resume()

    def resume(self) -> None:
        self.started = time.perf_counter()

    def seconds(self) -> float:
        """Stop, and say how much was spent so far."""
        self.spent += time.perf_counter() - self.started
        self.started = time.perf_counter()
        return self.spent
