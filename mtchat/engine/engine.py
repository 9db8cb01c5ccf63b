"""A loaded model: makes the exact context of a prompt and completes it, piece by piece."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Protocol

from mtchat.core.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.core.settings import Sampling
from mtchat.engine.decoder import Decoder, Logits
from mtchat.engine.detokenise import Detokeniser, vocabulary
from mtchat.engine.sampling import Chooser, likelihood
from mtchat.engine.speculate import Drafter
from mtchat.errors import ModelError, MtchatError

# A GGUF file names one end only, while chat models end a reply in one way and a text in another.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>")
# what a model writes where a hole is filled; special tokens have no text that could be cut at
HOLES = re.compile(r"<eom>|<sep>|<mask_\d+>|<\|(?:fim_\w+|repo_name|file_sep)\|>")


class Engine:
    """One model with all that it has seen; for one thread at a time.

    `drafter` makes, of the ids of a prompt, what guesses ahead; it changes no text, only the time it takes.
    `writers` is what writes the replies where the decoder chooses by itself.
    `close` comes when the program ends.
    """

    def __init__(
        self,
        decoder: Decoder[Any],
        tokenizer: Any,
        card: ModelCard,
        *,
        configs: Iterable[Any] = (),
        drafter: Callable[[Sequence[int]], Drafter] | None = None,
        writers: "Callable[[Engine], Writers] | None" = None,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.card = card
        self.ends = ends(configs, tokenizer)
        self.vocabulary = vocabulary(tokenizer)
        self.drafter = drafter
        self.writers = writers(self) if writers else None
        self.close = closing

    def text(self, prompt: Prompt) -> str:
        """The exact context: plain text, or messages through the model's chat template; then the opening."""
        if not prompt.messages:
            return prompt.text + prompt.opening
        if not self.card.chat:
            raise ModelError(
                f"{self.card.name} has no chat template; prompt it as a base model (family codegen)"
            )
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        text: str = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return text + prompt.opening

    def encode(self, prompt: Prompt) -> list[int]:
        """The ids of `text(prompt)`; a chat template writes the special tokens itself."""
        return self.ids(self.text(prompt), special=not prompt.messages)

    def count(self, text: str) -> int:
        return len(self.ids(text, special=False))

    def ids(self, text: str, special: bool) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=special)
        return found

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The reply in pieces: an empty one after each stretch of the prompt, one for each token, a last one.

        Closing it, or an interrupt anywhere inside, leaves the engine ready for the next prompt.
        """
        ids = self.checked(self.encode(prompt))
        if self.writers:
            replies = self.written(self.writers, ids, [sampling], self.room(ids, sampling))
            return (piece for _, piece in replies)
        return self.pieces(ids, sampling, self.room(ids, sampling))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """So many replies to one prompt, written together, each piece with the number of its reply.

        Reply k is what `complete` gives with the seed k higher; each ends by itself. The prompt is read once.
        """
        ids = self.checked(self.encode(prompt))
        seeds = [replace(sampling, seed=sampling.seed + number) for number in range(count)]
        if self.writers:
            return self.written(self.writers, ids, seeds, self.room(ids, sampling))
        return self.together(ids, seeds, self.room(ids, sampling))

    def checked(self, ids: list[int]) -> list[int]:
        """The ids of a prompt that the model can read."""
        if not ids:
            raise MtchatError("the prompt is empty; give the model some text to go on from")
        if len(ids) >= self.card.context:
            raise MtchatError(
                f"the context takes {len(ids)} tokens and {self.card.name} sees {self.card.context}; "
                "shorten the instruction, /undo some turns, start a new session, or use one that sees more"
            )
        return ids

    def room(self, ids: list[int], sampling: Sampling) -> int:
        return min(sampling.max_tokens, self.card.context - len(ids))

    def pieces(self, ids: list[int], sampling: Sampling, room: int) -> Iterator[Piece]:
        watch = Stopwatch()
        path = self.decoder.open(ids)
        reply = Reply(self, ids, sampling, room, path.reused, watch)
        for logits in path.read():
            rows = [logits]
            yield reply.read()
            watch.resume()
        reply.begin()
        drafter = self.drafter(ids) if self.drafter else None
        guess: list[int] = []
        while True:
            chosen = reply.choose(rows, guess)
            # the id that was followed, and the guesses that came true: the last chosen is not one of them,
            # but where the end was chosen
            path.keep(len(chosen) + (reply.finish == "stop"))
            for id in chosen:
                yield reply.write(id)
                watch.resume()
            if reply.finish:
                break
            if drafter:
                drafter.push(chosen)
                guess = drafter.guess(room - reply.written - 1)
            rows = list(path.follow([chosen[-1], *guess]))
        yield reply.end()

    def written(
        self, writers: "Writers", ids: list[int], samplings: list[Sampling], room: int
    ) -> Iterator[tuple[int, Piece]]:
        found: list[tuple[int, Piece]] = []
        job = Job(ids, samplings, room, lambda number, piece: found.append((number, piece)))
        try:
            writers.add(job)
            while not writers.idle:
                writers.step()
                yield from found
                found.clear()
                job.watch.resume()
        finally:
            writers.clear()

    def together(self, ids: list[int], samplings: list[Sampling], room: int) -> Iterator[tuple[int, Piece]]:
        found: list[tuple[int, Piece]] = []
        batch = Batch(self)
        job = Job(ids, samplings, room, lambda number, piece: found.append((number, piece)))
        steps = batch.read(job)
        while True:
            try:
                next(steps)
            except StopIteration:
                if not batch.rows:
                    break
                steps = batch.step()
            yield from found
            found.clear()
            job.watch.resume()
        yield from found


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


class Batch:
    """Replies that are written together, one token of each in a step, whatever their prompts."""

    def __init__(self, engine: Engine) -> None:
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
        self, engine: Engine, ids: list[int], sampling: Sampling, room: int, reused: int, watch: "Stopwatch"
    ) -> None:
        self.ends = engine.ends
        self.words = Detokeniser(engine.vocabulary, context=ids)
        self.chooser = Chooser(sampling)
        self.room = room
        self.watch = watch
        self.written = 0
        self.finish = ""
        self.usage = Usage(prompt=len(ids), reused=reused)
        self.began = 0.0
        self.logprob = self.least = 0.0

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
        self.least = min(self.least, logprob)
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
            written=self.written,
            decode_seconds=self.watch.seconds() - self.began,
            logprob=round(self.logprob, 4),
            least=round(self.least, 4),
        )


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


def ends(configs: Iterable[Any], tokenizer: Any) -> frozenset[int]:
    """Every id that ends a text: by the model's configs, the tokenizer, or its usual name."""
    found = {tokenizer.eos_token_id}
    for config in configs:
        stated = getattr(config, "eos_token_id", None)
        found |= set(stated) if isinstance(stated, list) else {stated}
    known = tokenizer.added_tokens_encoder
    found |= {known.get(name) for name in ENDS}
    found |= {number for name, number in known.items() if HOLES.fullmatch(name)}
    return frozenset(found - {None})
