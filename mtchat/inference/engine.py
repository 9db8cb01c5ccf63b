"""A loaded local model: turns a prompt into its exact context and completes it, piece by piece."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from threading import Lock, get_ident
from typing import Any, TypeVar, cast

from mtchat.errors import ModelError, MtchatError
from mtchat.inference import probe as probes
from mtchat.inference.decoder import BranchingDecoder, Decoder
from mtchat.inference.detokenizer import vocabulary_of
from mtchat.inference.prefix_tree import common_prefix_length
from mtchat.inference.request import GenerationState, Request, Stopwatch
from mtchat.inference.scheduler import CpuScheduler, Scheduler
from mtchat.inference.scoring import Continuation, score_texts
from mtchat.inference.speculative import Drafter
from mtchat.inference.tokens.chat_template import ChatFormat
from mtchat.inference.tokens.thought import cut_thoughts
from mtchat.inference.tokens.tokenizer import TextPart, Tokenizer
from mtchat.session.prompt import ModelCard, Piece, Prompt, Signals
from mtchat.session.settings import Sampling

T = TypeVar("T")
NO_PROMPT = Prompt()

# A GGUF file names one stop token only; chat models have one that ends a reply and one that ends a text.
STOP_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
)
# what a model writes at the end of an infill; special tokens have no text that a cut rule could find
INFILL_TOKENS = re.compile(r"<eom>|<sep>|<mask_\d+>|<\|(?:fim_\w+|repo_name|file_sep)\|>")


class PromptText(str):
    """The exact text of a prompt, and which parts of it are special tokens."""

    parts: tuple[TextPart, ...]

    def __new__(cls, parts: Iterable[TextPart]) -> "PromptText":
        known = tuple(parts)
        made = super().__new__(cls, "".join(part.text for part in known))
        made.parts = known
        return made

    def __reduce__(self) -> "tuple[type[PromptText], tuple[tuple[TextPart, ...]]]":
        return PromptText, (self.parts,)


class Engine:
    """One model with its KV cache; for one thread at a time. Call `close` when the program ends.

    `drafter` makes the drafter of a prompt's ids for speculative decoding, which changes the time that a
    completion takes and never its text. `scheduler` is for decoders that sample on the device.
    """

    def __init__(
        self,
        decoder: Decoder[Any],
        tokenizer: Any,
        card: ModelCard,
        *,
        configs: Iterable[Any] = (),
        drafter: Callable[[Sequence[int]], Drafter] | None = None,
        scheduler: "Callable[[Engine], Scheduler] | None" = None,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.tokens = Tokenizer.of(tokenizer)
        self.tokens.limit_to(decoder.rows)
        self.chat = ChatFormat(self.tokens, card.name) if card.chat else None
        notes = (self.chat.note,) if self.chat and self.chat.note else ()
        thinks = self.chat.thoughts.thinks if self.chat else ""
        self.card = replace(
            card, notes=(*card.notes, *notes), marks=frozenset(self.tokens.ids_of), thinks=thinks
        )
        shown = self.chat.thought_marks if self.chat else frozenset[str]()
        self.vocabulary = vocabulary_of(self.tokens, find_stop_ids(configs, self.tokens), shown)
        self.drafter = drafter
        self.scheduler = scheduler(self) if scheduler else None
        traces = isinstance(decoder, probes.TracingDecoder)
        self.probe = probes.load_probe(self.card.fingerprint) if traces else None
        self.close = closing
        self.busy = Lock()
        self.thread = 0  # that is at a completion

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end a completion."""
        return self.vocabulary.stop_ids

    def ignore_stop_tokens(self) -> None:
        """Let every completion run to its `max_tokens`, as benchmarks need."""
        self.vocabulary = replace(self.vocabulary, stop_ids=frozenset())

    def text(self, prompt: Prompt) -> str:
        """The exact context: plain text, or messages through the chat template; then the opening."""
        return PromptText(self.parts(prompt))

    def parts(self, prompt: Prompt) -> list[TextPart]:
        """The context in parts; special tokens are those of the template and of `prompt.marks`."""
        if not prompt.messages:
            found, end = [], 0
            for at, name in prompt.marks:
                found += [TextPart(prompt.text[end:at]), TextPart(name, special=True)]
                end = at + len(name)
            return [*found, TextPart(prompt.text[end:] + prompt.opening)]
        if self.chat is None:
            raise ModelError(
                f"{self.card.name} has no chat template; prompt it as a base model (family codegen)"
            )
        found = self.chat.parts(prompt.messages, prompt.think, prompt.thought)
        return found if prompt.asks_for_thought else [*found, TextPart(prompt.opening)]

    def encode(self, prompt: Prompt) -> list[int]:
        """The ids of `text(prompt)`; a chat template writes the special tokens itself."""
        ids = self.tokens.encode_parts(self.parts(prompt), special=not prompt.messages)
        if isinstance(self.decoder, BranchingDecoder) and prompt.messages:
            for joint in prompt.joints:
                with suppress(ModelError):  # a template may refuse a message that is cut short, or empty
                    self.decoder.expect_branch(ids[: self.locate(prompt, ids, joint)])
        return ids

    def locate(self, prompt: Prompt, ids: list[int], position: int) -> int:
        """How many ids of a prompt hold what comes before a position in its last message."""
        last = prompt.messages[-1]
        cut = replace(last, content=last.content[:position])
        shorter = self.parts(replace(prompt, messages=(*prompt.messages[:-1], cut)))
        return common_prefix_length(ids, self.tokens.encode_parts(shorter, special=False))

    def classify(self, prompt: Prompt) -> Signals | None:
        """What the last message of a chat is, as the model's probe reads it; None if that cannot be told.

        The prompt is in the KV cache afterwards. ModelError if it is too long.
        """
        marks = tuple(self.tokens.ids_of.get(name, -1) for name in (probes.BEGINS, probes.ENDS))
        if self.probe is None or not prompt.messages or -1 in marks:
            return None
        ids = self.check_prompt(self.encode(replace(prompt, opening="", think=0)))
        probe, decoder = self.probe, cast(probes.TracingDecoder, self.decoder)

        def read() -> Iterator[Signals | None]:
            yield probe.read(decoder, ids, (marks[0], marks[1]))

        [found] = self.exclusively(read())
        return found

    def count(self, text: str) -> int:
        """The number of tokens of a `PromptText`, or of a text in which special tokens are plain words."""
        return len(self.tokens.encode_parts(text.parts if isinstance(text, PromptText) else [TextPart(text)]))

    def ids(self, text: str, special: bool) -> list[int]:
        """The ids of a text in which every special token is meant as one."""
        return self.tokens.encode(text, special)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The completion in pieces: an empty one after each prefill chunk, one for each token, a last one.

        A thought that the prompt asks for ends before the text that closes it. Closing the iterator, or an
        interrupt anywhere inside, leaves the engine ready for the next prompt.
        """
        ids = self.check_prompt(self.encode(prompt))
        max_tokens, until = self.max_new_tokens(ids, sampling, prompt), self.thought_end(prompt)
        if self.scheduler:
            pieces = self.run_scheduler(self.scheduler, ids, [sampling], max_tokens, until)
            found = self.exclusively(piece for _, piece in pieces)
        else:
            found = self.exclusively(self.generate(ids, sampling, max_tokens, until))
        return (piece for _, piece in self.end_thoughts(prompt, ((0, piece) for piece in found)))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """`count` completions of one prompt in one batch, each piece with the number of its completion.

        Completion k is what `complete` gives with seed + k (on a GPU, as far as 16-bit arithmetic allows).
        Each ends by itself; the prompt is computed once.
        """
        ids = self.check_prompt(self.encode(prompt))
        max_tokens, until = self.max_new_tokens(ids, sampling, prompt), self.thought_end(prompt)
        samplings = [replace(sampling, seed=sampling.seed + number) for number in range(count)]
        if self.scheduler:
            found = self.exclusively(self.run_scheduler(self.scheduler, ids, samplings, max_tokens, until))
        else:
            found = self.exclusively(self.generate_batch(ids, samplings, max_tokens, until))
        return self.end_thoughts(prompt, found)

    def end_thoughts(
        self, prompt: Prompt, pieces: Iterator[tuple[int, Piece]]
    ) -> Iterator[tuple[int, Piece]]:
        """The pieces of thoughts up to the text that closes them; those of other completions unchanged."""
        end = self.thought_end(prompt)
        return cut_thoughts(pieces, end) if end else pieces

    def thought_end(self, prompt: Prompt) -> str:
        """The text that ends the thought that a prompt asks for; "" if it asks for none."""
        return self.chat.thoughts.end if prompt.asks_for_thought and self.chat else ""

    def score(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()) -> tuple[float, ...]:
        """The log-probability of each text after a prompt, in nats, summed over its tokens.

        `leads` has a text for each that comes between and is not scored. Each is split into tokens by itself,
        and special tokens in them are plain words. The prompt and the leads stay in the KV cache.
        """
        ids = self.encode(prompt)
        pairs = zip(leads or [""] * len(texts), texts, strict=True)
        found = [Continuation([*ids, *self.plain_ids(lead)], self.plain_ids(text)) for lead, text in pairs]
        for text in found:
            self.check_prompt([*text.context, *text.ids] if text.context else [])
        return tuple(self.exclusively(score_texts(self.decoder, found)))

    def plain_ids(self, text: str) -> list[int]:
        """The ids of a text in which special tokens are plain words."""
        return self.tokens.encode_parts([TextPart(text)]) if text else []

    def exclusively(self, pieces: Iterator[T]) -> Iterator[T]:
        """The pieces of a completion, begun when no other thread is at one: the KV cache is for one thread.

        One that waits goes on once the other completion ends or its iterator is closed.
        """
        if self.thread == get_ident():  # a completion inside another one of the same thread
            yield from pieces
            return
        with self.busy:
            self.thread = get_ident()
            try:
                yield from pieces
            finally:
                self.thread = 0

    def check_prompt(self, ids: list[int]) -> list[int]:
        """The ids of a prompt; an error if it is empty, too long, or has tokens that the model lacks."""
        if not ids:
            raise MtchatError("the prompt is empty; give the model some text to continue")
        if len(ids) >= self.card.context:
            raise MtchatError(
                f"the prompt has {len(ids)} tokens and the context of {self.card.name} is "
                f"{self.card.context}; shorten the instruction, /undo some turns, start a new session, or "
                "use a model with a longer context"
            )
        if odd := next((id for id in ids if not 0 <= id < self.decoder.rows), None):
            raise ModelError(
                f"the prompt contains {self.tokens.name(odd)!r}, which is token {odd}, and "
                f"{self.card.name} has only {self.decoder.rows} embedding rows; rephrase it, or download the "
                "model and its tokenizer again"
            )
        return ids

    def max_new_tokens(self, ids: list[int], sampling: Sampling, prompt: Prompt = NO_PROMPT) -> int:
        """The most tokens that a completion of a prompt can have; a thought leaves room for its reply."""
        room = self.card.context - len(ids)
        if prompt.asks_for_thought:
            return min(prompt.think, room - min(sampling.max_tokens, room // 2))
        return min(sampling.max_tokens, room)

    def generate(
        self, ids: list[int], sampling: Sampling, max_tokens: int, until: str = ""
    ) -> Iterator[Piece]:
        """One completion: prefill, then decode with draft tokens where there is a drafter."""
        stopwatch = Stopwatch()
        sequence = self.decoder.open(ids)
        state = GenerationState(self.vocabulary, ids, sampling, max_tokens, sequence.cached, stopwatch, until)
        for logits in sequence.prefill():
            rows = [logits]
            yield state.report_prefill()
            stopwatch.resume()
        state.begin_decode()
        drafter = self.drafter(ids) if self.drafter else None
        draft: list[int] = []
        while True:
            sampled = state.sample(rows, draft)
            # the last sampled id was not computed yet, but the id before the draft was; a stop id that was
            # sampled is not among `sampled`
            sequence.commit(len(sampled) + (state.finish == "stop"))
            for id in sampled:
                yield state.write(id)
                stopwatch.resume()
            if state.finish:
                break
            if drafter:
                drafter.extend(sampled)
                draft = drafter.propose(max_tokens - state.tokens - 1)
            rows = list(sequence.forward([sampled[-1], *draft]))
        yield state.end()

    def run_scheduler(
        self, scheduler: Scheduler, ids: list[int], samplings: list[Sampling], max_tokens: int, until: str
    ) -> Iterator[tuple[int, Piece]]:
        """The completions of one request by a scheduler that has no other."""

        def steps(request: Request) -> Generator[None]:
            try:
                scheduler.add(request)
                while not scheduler.idle:
                    scheduler.step()
                    yield
            finally:
                scheduler.clear()

        return emitted_pieces(ids, samplings, max_tokens, until, steps)

    def generate_batch(
        self, ids: list[int], samplings: list[Sampling], max_tokens: int, until: str
    ) -> Iterator[tuple[int, Piece]]:
        """The completions of one request, with a pause after each chunk and each token."""

        def steps(request: Request) -> Generator[None]:
            scheduler = CpuScheduler(self.decoder, self.vocabulary, len(samplings))
            yield from scheduler.prefill(request)
            while not scheduler.idle:
                yield from scheduler.decode()

        return emitted_pieces(ids, samplings, max_tokens, until, steps)


def emitted_pieces(
    ids: list[int],
    samplings: list[Sampling],
    max_tokens: int,
    until: str,
    steps: Callable[[Request], Generator[None]],
) -> Iterator[tuple[int, Piece]]:
    """The pieces of a request and the number of each, while `steps` computes it."""
    found: list[tuple[int, Piece]] = []
    request = Request(ids, samplings, max_tokens, lambda number, piece: found.append((number, piece)), until)
    with closing(steps(request)) as running:
        for _ in running:
            yield from found
            found.clear()
            request.stopwatch.resume()
    yield from found


def find_stop_ids(configs: Iterable[Any], tokenizer: Tokenizer) -> frozenset[int]:
    """Every id that ends a text: by the model's configs, by the tokenizer, or by its usual name.

    A name alone says nothing if it is an ordinary word of the vocabulary, as </s> of HTML can be.
    """
    found: set[int | None] = {*tokenizer.stop_ids, tokenizer.eos}
    for config in configs:
        stated = getattr(config, "eos_token_id", None)
        found |= set(stated) if isinstance(stated, list | tuple) else {stated}
    known = tokenizer.ids_of
    found |= {id for name in STOP_TOKENS if (id := known.get(name)) in tokenizer.hidden}
    found |= {number for name, number in known.items() if INFILL_TOKENS.fullmatch(name)}
    return frozenset(id for id in found if isinstance(id, int))
