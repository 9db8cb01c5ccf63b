"""A loaded model: makes the exact context of a prompt and completes it, piece by piece."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from mtchat.errors import ModelError, MtchatError
from mtchat.inference.decoder import Decoder
from mtchat.inference.detokenizer import vocabulary
from mtchat.inference.replies import Batch, Job, Reply, Stopwatch, Writers
from mtchat.inference.speculative import Drafter
from mtchat.inference.tokens.chat_template import Chat
from mtchat.inference.tokens.tokenizer import Part, Tokenizer
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.settings import Sampling

# A GGUF file names one end only, while chat models end a reply in one way and a text in another.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>")
# what a model writes where a hole is filled; special tokens have no text that could be cut at
HOLES = re.compile(r"<eom>|<sep>|<mask_\d+>|<\|(?:fim_\w+|repo_name|file_sep)\|>")


class Context(str):
    """The exact text of a prompt, with which of its marks are meant."""

    parts: tuple[Part, ...]

    def __new__(cls, parts: Iterable[Part]) -> "Context":
        known = tuple(parts)
        made = super().__new__(cls, "".join(part.text for part in known))
        made.parts = known
        return made

    def __reduce__(self) -> "tuple[type[Context], tuple[tuple[Part, ...]]]":
        return Context, (self.parts,)


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
        self.tokens = Tokenizer.of(tokenizer)
        self.tokens.within(decoder.rows)
        self.chat = Chat(self.tokens, card.name) if card.chat else None
        notes = (self.chat.note,) if self.chat and self.chat.note else ()
        self.card = replace(card, notes=(*card.notes, *notes), marks=frozenset(self.tokens.ids_of))
        self.ends = ends(configs, self.tokens)
        self.vocabulary = vocabulary(self.tokens)
        self.drafter = drafter
        self.writers = writers(self) if writers else None
        self.close = closing

    def text(self, prompt: Prompt) -> str:
        """The exact context: plain text, or messages through the model's chat template; then the opening."""
        return Context(self.parts(prompt))

    def parts(self, prompt: Prompt) -> list[Part]:
        """The context of a prompt, in which only the marks of its template and its own are marks."""
        if not prompt.messages:
            found, end = [], 0
            for at, name in prompt.marks:
                found += [Part(prompt.text[end:at]), Part(name, mark=True)]
                end = at + len(name)
            return [*found, Part(prompt.text[end:] + prompt.opening)]
        if self.chat is None:
            raise ModelError(
                f"{self.card.name} has no chat template; prompt it as a base model (family codegen)"
            )
        return [*self.chat.parts(prompt.messages), Part(prompt.opening)]

    def encode(self, prompt: Prompt) -> list[int]:
        """The ids of `text(prompt)`; a chat template writes the special tokens itself."""
        return self.tokens.ids(self.parts(prompt), special=not prompt.messages)

    def count(self, text: str) -> int:
        """The tokens of a context, or of some text, in which marks are words."""
        return len(self.tokens.ids(text.parts if isinstance(text, Context) else [Part(text)]))

    def ids(self, text: str, special: bool) -> list[int]:
        """The ids of a text whose marks are all meant."""
        return self.tokens.encode(text, special)

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

        Reply k is what `complete` gives with the seed k higher (on a GPU, as 16 bits let it). Each ends
        by itself; the prompt is read once.
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
        if odd := next((id for id in ids if not 0 <= id < self.decoder.rows), None):
            raise ModelError(
                f"the prompt holds {self.tokens.name(odd)!r}, which is token {odd}, and "
                f"{self.card.name} has rows for {self.decoder.rows}; say it in other words, or fetch the "
                "model and its tokenizer again"
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
        self, writers: Writers, ids: list[int], samplings: list[Sampling], room: int
    ) -> Iterator[tuple[int, Piece]]:
        """Replies of some writers, which nobody else uses meanwhile."""

        def steps(job: Job) -> Generator[None]:
            try:
                writers.add(job)
                while not writers.idle:
                    writers.step()
                    yield
            finally:
                writers.clear()

        return heard(ids, samplings, room, steps)

    def together(self, ids: list[int], samplings: list[Sampling], room: int) -> Iterator[tuple[int, Piece]]:
        def steps(job: Job) -> Generator[None]:
            batch = Batch(self)
            yield from batch.read(job)
            while batch.rows:
                yield from batch.step()

        return heard(ids, samplings, room, steps)


def heard(
    ids: list[int], samplings: list[Sampling], room: int, steps: Callable[[Job], Generator[None]]
) -> Iterator[tuple[int, Piece]]:
    """The pieces of some replies with the number of each, while `steps` writes them."""
    found: list[tuple[int, Piece]] = []
    job = Job(ids, samplings, room, lambda number, piece: found.append((number, piece)))
    with closing(steps(job)) as writing:
        for _ in writing:
            yield from found
            found.clear()
            job.watch.resume()
    yield from found


def ends(configs: Iterable[Any], tokenizer: Tokenizer) -> frozenset[int]:
    """Every id that ends a text: by the model's configs, the tokenizer, or its usual name.

    A name alone says nothing where it is a word of the vocabulary, as </s> of HTML can be.
    """
    found: set[int | None] = {*tokenizer.ends, tokenizer.eos}
    for config in configs:
        stated = getattr(config, "eos_token_id", None)
        found |= set(stated) if isinstance(stated, list | tuple) else {stated}
    known = tokenizer.ids_of
    found |= {id for name in ENDS if (id := known.get(name)) in tokenizer.hidden}
    found |= {number for name, number in known.items() if HOLES.fullmatch(name)}
    return frozenset(id for id in found if isinstance(id, int))
